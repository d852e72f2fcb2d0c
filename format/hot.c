/* See hot.h. */
#include "format/hot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/num.h"
#include "format/image/frame_reader.h"

/* A layer is copied from a file and its digest known before: it is gathered in memory. */
struct hot_layer {
	struct blob blob; /* fd owned */
	struct oci_descriptor d;
	struct digest *digest;
};

static void hot_layer_free(struct hot_layer *l)
{
	digest_free(l->digest);
	if (l->blob.fd >= 0)
		close(l->blob.fd);
}

static int hot_layer_open(struct hot_layer *l, const struct image *image, const char *suffix,
			  const char *media_type, struct err *err)
{
	*l = (struct hot_layer){.d.optional = true};
	snprintf(l->d.role, sizeof(l->d.role), "%s%s", image->role, suffix);
	strcpy(l->d.media_type, media_type);
	l->blob.fd = memfd_create("torpor hot set", MFD_CLOEXEC);
	return l->blob.fd < 0 ? err_sys(err, errno, "gather the hot set")
			      : digest_new(&l->digest, err);
}

static int hot_layer_add(struct hot_layer *l, const void *data, size_t len, struct err *err)
{
	int ret = io_pwrite(l->blob.fd, data, len, l->blob.len);

	digest_add(l->digest, data, len);
	l->blob.len += len;
	return ret < 0 ? err_sys(err, -ret, "gather the hot set") : 0;
}

static int hot_layer_write(struct archive_writer *w, struct hot_layer *l, struct err *err)
{
	uint8_t digest[DIGEST_SIZE];
	int ret = digest_end(l->digest, digest, err);

	digest_text(digest, l->d.digest);
	l->d.size = l->blob.len;
	return ret < 0 ? ret : archive_writer_layer(w, &l->d, &l->blob, err);
}

static int hot_collect(const struct hot_set *hot, struct hot_layer *frames, struct hot_layer *list,
		       struct err *err)
{
	cleanup_frame_reader struct frame_reader *reader = NULL;
	cleanup_free uint8_t *frame = malloc(FRAME_SIZE);
	int ret = frame != NULL ? frame_reader_new(&reader, err)
				: err_sys(err, ENOMEM, "gather the hot set");

	if (ret < 0)
		return ret;
	for (size_t i = 0; i < hot->n; i++) {
		uint8_t place[8];

		le_put64(place, hot->places[i]);
		ret = frame_read(reader, hot->image, hot->places[i], frame, err);
		if (ret < 0)
			return ret;
		ret = hot_layer_add(frames, frame, FRAME_SIZE, err);
		if (ret < 0)
			return ret;
		ret = hot_layer_add(list, place, sizeof(place), err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int hot_write(struct archive_writer *w, const struct hot_set *hot, struct err *err)
{
	__attribute__((cleanup(hot_layer_free))) struct hot_layer frames = {.blob.fd = -1};
	__attribute__((cleanup(hot_layer_free))) struct hot_layer list = {.blob.fd = -1};
	int ret;

	if (hot->n == 0)
		return 0;
	ret = hot_layer_open(&frames, hot->image, ".hot", OCI_HOT_TYPE, err);
	if (ret < 0)
		return ret;
	ret = hot_layer_open(&list, hot->image, ".hotlist", OCI_HOTLIST_TYPE, err);
	if (ret < 0)
		return ret;
	ret = hot_collect(hot, &frames, &list, err);
	if (ret < 0)
		return ret;
	ret = hot_layer_write(w, &list, err);
	return ret < 0 ? ret : hot_layer_write(w, &frames, err);
}
