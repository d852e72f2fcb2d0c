/*
 * Laying out the tar around bulk payloads that are already in place:
 *
 *     oci-layout, index.json, manifest, config, signature, state, maps, hash lists   (as they fit)
 *     filler, bulk payload, filler, bulk payload …                        (64 KiB-aligned)
 *     what did not fit in front
 *     friendly symbolic links, end of archive
 *
 * On a stream the bulk payloads come first, each behind its header, and all the rest behind them.
 *
 * A filler is a file of zeros, a hole on disk, whose size makes the next payload aligned. Equal
 * blobs are one member; the second copy's place becomes a filler too.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "format/archive_writer_internal.h"
#include "format/tar_header.h"

#define MAX_FILLER GIB(1)
#define END_SIZE   (2 * TAR_BLOCK)

static int put_header(struct layout *l, uint64_t at, const char *name, const char *link,
		      uint64_t size, struct err *err)
{
	uint8_t header[TAR_BLOCK];

	tar_header_make(name, link, size, header);
	return out_write(&l->w->out, header, sizeof(header), at, err);
}

/* Fill up to `to`, a whole number of blocks away. */
static int put_filler(struct layout *l, uint64_t to, struct err *err)
{
	while (l->at < to) {
		uint64_t len = u64_min(to - l->at, MAX_FILLER);
		char name[32];
		int ret;

		snprintf(name, sizeof(name), TAR_FILLER "%u", l->nfillers++);
		ret = put_header(l, l->at, name, NULL, len - TAR_BLOCK, err);
		if (ret < 0)
			return ret;
		l->at += len;
	}
	return 0;
}

static bool fits(const struct layout *l, uint64_t size)
{
	return range_within(l->at, TAR_BLOCK + align_up(size, TAR_BLOCK), l->front);
}

static int put_bytes(struct layout *l, const char *name, const struct buf *data, struct err *err)
{
	int ret = put_header(l, l->at, name, NULL, data->len, err);

	if (ret < 0)
		return ret;
	ret = out_write(&l->w->out, data->data, data->len, l->at + TAR_BLOCK, err);
	l->at += TAR_BLOCK + align_up(data->len, TAR_BLOCK);
	return ret;
}

static int put_small_blob(struct layout *l, const struct writer_blob *blob, struct err *err)
{
	char path[OCI_PATH_SIZE];

	oci_blob_path(blob->d.digest, path);
	return put_bytes(l, path, &blob->data, err);
}

/* An earlier blob is the same. */
static bool is_duplicate(const struct archive_writer *w, size_t index)
{
	for (size_t i = 0; i < index; i++) {
		if (strcmp(w->blobs[i].d.digest, w->blobs[index].d.digest) == 0)
			return true;
	}
	return false;
}

/* The small layers, most wanted first, of no known type last; those that do not fit in front are
 * put in the second round, behind the bulk. `done` remembers. */
static int put_small(struct layout *l, bool *done, struct err *err)
{
	static const char *const order[] = {OCI_SIGNATURE_TYPE, OCI_STATE_TYPE, OCI_MAP_TYPE,
					    OCI_HASHES_TYPE, NULL};
	const struct archive_writer *w = l->w;

	for (size_t o = 0; o < ARRAY_SIZE(order); o++) {
		for (size_t i = 0; i < w->nblobs; i++) {
			const struct writer_blob *blob = &w->blobs[i];
			int ret;

			if (done[i] || blob->bulk)
				continue;
			if (order[o] != NULL && strcmp(blob->d.media_type, order[o]) != 0)
				continue;
			if (!is_duplicate(w, i)) {
				if (!fits(l, blob->data.len))
					continue;
				ret = put_small_blob(l, blob, err);
				if (ret < 0)
					return ret;
			}
			done[i] = true;
		}
	}
	return 0;
}

/* Make a range of the file zeros again. */
static int erase(const struct layout *l, uint64_t offset, uint64_t len, struct err *err)
{
	static uint8_t zeros[FRAME_SIZE];

	if (fallocate(l->w->out.file.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
		      (off_t)len) == 0)
		return 0;
	for (uint64_t done = 0; done < len; done += FRAME_SIZE) {
		int ret = out_write(&l->w->out, zeros, u64_min(FRAME_SIZE, len - done),
				    offset + done, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int put_bulk(struct layout *l, struct err *err)
{
	for (size_t i = 0; i < l->w->nblobs; i++) {
		const struct writer_blob *blob = &l->w->blobs[i];
		char path[OCI_PATH_SIZE];
		int ret;

		if (!blob->bulk)
			continue;
		if (is_duplicate(l->w, i)) {
			ret = erase(l, blob->offset, blob->d.size, err);
			if (ret < 0)
				return ret;
			continue;
		}
		oci_blob_path(blob->d.digest, path);
		ret = put_filler(l, blob->offset - TAR_BLOCK, err);
		if (ret < 0)
			return ret;
		ret = put_header(l, l->at, path, NULL, blob->d.size, err);
		if (ret < 0)
			return ret;
		l->at = blob->offset + align_up(blob->d.size, TAR_BLOCK);
	}
	return 0;
}

static int put_link(struct layout *l, const char *role, const char *digest, struct err *err)
{
	char path[OCI_PATH_SIZE];
	int ret;

	oci_blob_path(digest, path);
	ret = put_header(l, l->at, role, path, 0, err);
	l->at += TAR_BLOCK;
	return ret;
}

static int put_links(struct layout *l, const struct writer_front *front, struct err *err)
{
	int ret = put_link(l, "manifest", front->manifest.d.digest, err);

	if (ret < 0)
		return ret;
	ret = put_link(l, "config", front->config.d.digest, err);
	if (ret < 0)
		return ret;
	for (size_t i = 0; i < l->w->nblobs; i++) {
		ret = put_link(l, l->w->blobs[i].d.role, l->w->blobs[i].d.digest, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static uint64_t first_bulk(const struct archive_writer *w)
{
	for (size_t i = 0; i < w->nblobs; i++) {
		if (w->blobs[i].bulk)
			return w->blobs[i].offset - TAR_BLOCK;
	}
	return UINT64_MAX;
}

static int put_front(struct layout *l, const struct writer_front *front, struct err *err)
{
	int ret = put_bytes(l, OCI_LAYOUT_NAME, &front->layout, err);

	if (ret < 0)
		return ret;
	ret = put_bytes(l, OCI_INDEX_NAME, &front->index, err);
	if (ret < 0)
		return ret;
	ret = put_small_blob(l, &front->manifest, err);
	return ret < 0 ? ret : put_small_blob(l, &front->config, err);
}

static int put_rest(struct layout *l, const struct writer_front *front, bool *done, struct err *err)
{
	int ret;

	l->front = UINT64_MAX;
	ret = put_small(l, done, err);
	if (ret < 0)
		return ret;
	ret = put_links(l, front, err);
	l->at += END_SIZE;
	return ret < 0 ? ret : out_end(&l->w->out, l->at, err);
}

int layout_write_file(struct layout *l, const struct writer_front *front, struct err *err)
{
	cleanup_free bool *done = calloc(l->w->nblobs + 1, sizeof(*done));
	uint64_t need = front->layout.len + front->index.len + front->manifest.data.len +
			front->config.data.len + (uint64_t)8 * TAR_BLOCK;
	int ret;

	if (done == NULL)
		return err_sys(err, ENOMEM, "write %s", l->w->out.name);
	l->front = first_bulk(l->w);
	if (!fits(l, need))
		return err_set(err, ERR_FAILED, "write %s: the description is too large",
			       l->w->out.name);
	ret = put_front(l, front, err);
	if (ret < 0)
		return ret;
	ret = put_small(l, done, err);
	if (ret < 0)
		return ret;
	ret = put_bulk(l, err);
	return ret < 0 ? ret : put_rest(l, front, done, err);
}

int layout_put_payload(struct layout *l, bool aligned, bool *wanted, struct err *err)
{
	const struct writer_blob *blob = &l->w->blobs[l->w->nblobs - 1];
	char path[OCI_PATH_SIZE];
	int ret = 0;

	*wanted = !is_duplicate(l->w, l->w->nblobs - 1);
	if (!*wanted)
		return 0;
	oci_blob_path(blob->d.digest, path);
	if (aligned)
		ret = put_filler(l, align_up(l->at + TAR_BLOCK, FRAME_SIZE) - TAR_BLOCK, err);
	if (ret < 0)
		return ret;
	ret = put_header(l, l->at, path, NULL, blob->d.size, err);
	l->at += TAR_BLOCK;
	return ret;
}

int layout_end_stream(struct layout *l, const struct writer_front *front, struct err *err)
{
	cleanup_free bool *done = calloc(l->w->nblobs + 1, sizeof(*done));
	int ret = done != NULL ? put_front(l, front, err)
			       : err_sys(err, ENOMEM, "write %s", l->w->out.name);

	return ret < 0 ? ret : put_rest(l, front, done, err);
}
