/* See places.h. */
#include "wire/places.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/num.h"
#include "format/oci_index.h"
#include "format/tar.h"
#include "wire/wire_internal.h"

/* Of a long range, so that it comes on several connections. */
#define PIECE	    KIB(128)
#define MOST_PIECES 4u

void places_free(struct places *p)
{
	free(p->item);
	*p = (struct places){0};
}

/* There is room for PLACES_MOST: what a manifest names beyond that is left. */
static void add(struct places *p, uint64_t from, uint64_t to)
{
	if (p->count < PLACES_MOST)
		p->item[p->count++] = (struct place){.from = from, .to = to};
}

/* Of a range what no other has: as far as the first that is in its middle. */
static void leave_others(const struct places *p, uint64_t *from, uint64_t *to)
{
	for (size_t i = 0; i < p->count && *from < *to; i++) {
		const struct place *other = &p->item[i];

		if (other->to <= *from || other->from >= *to)
			continue;
		if (other->from > *from) {
			*to = other->from;
			continue;
		}
		/* Those before it may begin where it ends. */
		*from = other->to;
		i = SIZE_MAX;
	}
}

/* Whole blocks, behind the front, and none twice: a manifest may name a blob as often as it likes. What
 * touches the last range becomes a part of it. */
static void want(struct places *p, uint64_t from, uint64_t len)
{
	uint64_t to;

	if (!range_within(from, len, p->size))
		return;
	to = u64_min(align_up(from + len, ARRIVAL_BLOCK), p->size);
	from = u64_max(align_down(from, ARRIVAL_BLOCK), p->have);
	leave_others(p, &from, &to);
	if (from >= to)
		return;
	if (p->count > 0 && p->item[p->count - 1].to == from)
		p->item[p->count - 1].to = to;
	else
		add(p, from, to);
}

static void want_payload(struct places *p, const struct oci_descriptor *d, uint64_t at)
{
	uint64_t table = opening_table_of(d);

	if (opening_is_small(d))
		want(p, at, d->size);
	else if (table > 0 && opening_read_at_once(d))
		want(p, at + table, d->size - table);
}

static bool is_bulk(const struct oci_descriptor *d)
{
	static const char *const front[] = {OCI_SIGNATURE_TYPE, OCI_STATE_TYPE, OCI_MAP_TYPE,
					    OCI_HASHES_TYPE};

	for (size_t i = 0; i < ARRAY_SIZE(front); i++) {
		if (strcmp(d->media_type, front[i]) == 0)
			return false;
	}
	return true;
}

/* `next` is where the first header lies that is not in front. */
static void find_places(struct places *p, const struct tar *tar,
			const struct oci_descriptors *layers, uint64_t next)
{
	for (int bulk = 1; bulk >= 0; bulk--) {
		for (size_t i = 0; i < layers->count && next < p->size; i++) {
			const struct oci_descriptor *d = &layers->item[i];
			const struct tar_entry *entry;
			char path[OCI_PATH_SIZE];
			uint64_t at;

			if (is_bulk(d) != (bulk == 1) || d->size > p->size)
				continue;
			oci_blob_path(d->digest, path);
			entry = tar_find(tar, path);
			if (entry != NULL) {
				want_payload(p, d, entry->offset);
				continue;
			}
			at = next + TAR_BLOCK;
			if (bulk == 1 && strcmp(d->media_type, OCI_PACKED_TYPE) != 0)
				at = align_up(at, FRAME_SIZE);
			want(p, next, TAR_BLOCK);
			want(p, at - TAR_BLOCK, TAR_BLOCK);
			want_payload(p, d, at);
			next = align_up(at + d->size, TAR_BLOCK);
		}
	}
	/* Links, and the end. */
	if (next < p->size)
		want(p, next, u64_min(p->size - next, MIB(1)));
}

static int read_front(int fd, const struct tar *tar, const char *name, uint64_t have,
		      uint8_t **text, size_t *len)
{
	const struct tar_entry *entry = tar_find(tar, name);
	struct blob blob = {.fd = fd};

	if (entry == NULL || !range_within(entry->offset, entry->size, have))
		return -1;
	blob.offset = entry->offset;
	*len = blob.len = entry->size;
	return blob_read_all(&blob, JSON_MAX_BYTES, text, NULL);
}

/* The layers of the file's only manifest. Its digests are looked at when the file is opened. */
static int read_layers(int fd, const struct tar *tar, uint64_t have, struct oci_descriptors *layers)
{
	cleanup_free uint8_t *index = NULL, *manifest = NULL;
	cleanup_oci_index struct oci_index manifests = {0};
	struct oci_descriptor config;
	char path[OCI_PATH_SIZE];
	size_t len;

	if (read_front(fd, tar, OCI_INDEX_NAME, have, &index, &len) < 0 ||
	    oci_index_decode(&manifests, index, len, NULL) < 0 || manifests.count != 1 ||
	    manifests.item[0].image.digest[0] == '\0')
		return -1;
	oci_blob_path(manifests.item[0].image.digest, path);
	if (read_front(fd, tar, path, have, &manifest, &len) < 0)
		return -1;
	return oci_decode_manifest(&config, layers, manifest, len, NULL);
}

/* The longest, which is the hot set as a rule, on several connections: in pieces. */
static void cut_longest(struct places *p)
{
	size_t longest = 0;
	uint64_t pieces, len, to;

	for (size_t i = 1; i < p->count; i++) {
		if (p->item[i].to - p->item[i].from > p->item[longest].to - p->item[longest].from)
			longest = i;
	}
	if (p->count == 0)
		return;
	to = p->item[longest].to;
	len = to - p->item[longest].from;
	pieces = u64_max(u64_min(len / PIECE, MOST_PIECES), 1);
	len = align_up((len + pieces - 1) / pieces, ARRIVAL_BLOCK);
	for (uint64_t at = p->item[longest].from + len; at < to; at += len) {
		p->item[longest].to = u64_min(p->item[longest].from + len, to);
		add(p, at, u64_min(at + len, to));
	}
}

int places_find(struct places *p, int fd, uint64_t have, uint64_t size, struct err *err)
{
	struct oci_descriptors layers = {0};
	struct tar tar;
	uint64_t next;
	int ret;

	*p = (struct places){.have = have, .size = size};
	p->item = calloc(PLACES_MOST, sizeof(p->item[0]));
	if (p->item == NULL)
		return err_sys(err, ENOMEM, "fetch");
	ret = tar_read_front(&tar, fd, have, &next, err);
	if (ret < 0)
		return ret;
	if (read_layers(fd, &tar, have, &layers) == 0) {
		find_places(p, &tar, &layers, next);
		cut_longest(p);
		oci_descriptors_free(&layers);
	}
	tar_free(&tar);
	return 0;
}
