/*
 * Of one file of a web server: what is read of it while a machine is made, all at once. Headers of a tar
 * are found one behind the other, a round trip each; but the manifest lies in front and has the sizes,
 * and a file that torpor wrote has its payloads in the manifest's order (format/archive_layout.c): packed
 * ones one behind the other, others aligned, and then what found no room in front. Where another writer
 * did otherwise, some blocks come that nobody needed yet, and others are waited for.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/num.h"
#include "format/oci_index.h"
#include "format/tar.h"
#include "wire/wire_internal.h"

/* Of a long range, so that it comes on several connections. */
#define PIECE	    KIB(128)
#define MOST_PIECES 4u

struct place {
	uint64_t from, to;
	bool came;
};

struct places {
	struct opening *o;
	uint64_t have, size;
	struct place *item; /* owned */
	size_t count;
	bool failed; /* no memory */
};

static void places_free(struct places *p)
{
	free(p->item);
}

static void add(struct places *p, uint64_t from, uint64_t to)
{
	struct place *grown = array_grow(p->item, p->count, sizeof(*grown));

	if (grown == NULL) {
		p->failed = true;
		return;
	}
	p->item = grown;
	grown[p->count++] = (struct place){.from = from, .to = to};
}

/* Whole blocks, behind the front; what touches the last range becomes a part of it. */
static void want(struct places *p, uint64_t from, uint64_t len)
{
	struct place *last = p->count > 0 ? &p->item[p->count - 1] : NULL;
	uint64_t to;

	if (!range_within(from, len, p->size))
		return;
	to = u64_min(align_up(from + len, ARRIVAL_BLOCK), p->size);
	from = u64_max(align_down(from, ARRIVAL_BLOCK), p->have);
	if (last != NULL && from >= last->from && from <= last->to) {
		last->to = u64_max(last->to, to);
		return;
	}
	if (to > from)
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

static int fetch_place(void *opaque, struct http *http, size_t index, struct err *err)
{
	struct places *p = opaque;
	struct place *place = &p->item[index];
	struct range_fetch f = {
		.registry = p->o->registry,
		.http = http,
		.source = p->o->file->source,
		.fd = p->o->file->fd,
		.progress = &p->o->progress,
		.from = place->from,
		.to = place->to,
		.silence_s = OPTIONAL_SILENCE_S,
	};

	(void)err;
	progress_expect(&p->o->progress, place->to - place->from);
	place->came = range_fetch(&f, NULL) == RANGE_CAME && f.at == f.to;
	return 0;
}

static int fetch_places(struct places *p, struct err *err)
{
	int ret = pool_start(&p->o->pool, p->o->registry, &p->o->progress, false, err);

	if (ret == 0)
		ret = pool_run(p->o->pool, p->o->http, p->count, fetch_place, p, err);
	for (size_t i = 0; ret == 0 && i < p->count; i++) {
		if (p->item[i].came)
			ret = opening_note_end(p->o, "", p->item[i].from, p->item[i].to, err);
	}
	return ret;
}

int opening_fetch_places(struct opening *o, uint64_t have, struct err *err)
{
	__attribute__((cleanup(places_free))) struct places p = {
		.o = o, .have = have, .size = o->file->source.size};
	struct oci_descriptors layers = {0};
	struct tar tar;
	uint64_t next;
	int ret = tar_read_front(&tar, o->file->fd, have, &next, err);

	if (ret < 0)
		return ret;
	if (read_layers(o->file->fd, &tar, have, &layers) == 0) {
		find_places(&p, &tar, &layers, next);
		cut_longest(&p);
		oci_descriptors_free(&layers);
	}
	tar_free(&tar);
	if (p.failed)
		return err_sys(err, ENOMEM, "fetch");
	return p.count > 0 ? fetch_places(&p, err) : 0;
}
