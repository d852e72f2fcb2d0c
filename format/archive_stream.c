/*
 * The way of an archive down a stream. A payload's header holds its digest and size, so it is
 * hashed before it is sent: what is copied from a file is read twice, the parts of an image are
 * held in memory one at a time, and are therefore smaller than in a file.
 */
#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "format/archive_writer_internal.h"
#include "format/image/image_pack.h"
#include "format/tar.h"

/* 32 MiB of flat data; more where that would be too many parts. */
#define PART_FRAMES 512u

static int stream_copy(struct archive_writer *w, const struct oci_descriptor *d,
		       const struct blob *blob, struct err *err)
{
	struct oci_descriptor copied = *d;
	char sent[DIGEST_TEXT_SIZE];
	bool wanted = false;
	int ret = 0;

	if (d->digest[0] == '\0')
		ret = writer_copy_hashed(NULL, blob, 0, copied.digest, err);
	if (ret < 0)
		return ret;
	ret = writer_add_bulk(w, &copied, 0, err);
	if (ret < 0)
		return ret;
	ret = layout_put_payload(&w->layout, strcmp(d->media_type, OCI_PACKED_TYPE) != 0, &wanted,
				 err);
	if (ret < 0 || !wanted)
		return ret;
	ret = writer_copy_hashed(&w->out, blob, w->layout.at, sent, err);
	w->layout.at += align_up(blob->len, TAR_BLOCK);
	if (ret < 0)
		return ret;
	if (strcmp(copied.digest, sent) != 0)
		return err_set(err, ERR_INTEGRITY, "the file it comes from is damaged");
	return 0;
}

/* A part of an image, held until its digest and size are known. */
struct part {
	struct archive_writer *w;
	const char *role;
	struct buf data;
};

static int hold_part(void *opaque, const void *data, size_t len, struct err *err)
{
	struct part *part = opaque;

	return buf_add(&part->data, data, len) != NULL ? 0 : err_sys(err, ENOMEM, "hold a part");
}

static int send_part(void *opaque, uint32_t index, uint64_t size, const uint8_t *digest,
		     struct err *err)
{
	struct part *part = opaque;
	struct archive_writer *w = part->w;
	struct oci_descriptor d;
	bool wanted = false;
	int ret;

	writer_describe_part(part->role, w->packed, index, size, digest, &d);
	part->data.len = 0;
	ret = writer_add_bulk(w, &d, 0, err);
	if (ret < 0)
		return ret;
	ret = layout_put_payload(&w->layout, !w->packed, &wanted, err);
	if (ret < 0 || !wanted)
		return ret;
	ret = out_write(&w->out, part->data.data, size, w->layout.at, err);
	w->layout.at += align_up(size, TAR_BLOCK);
	return ret;
}

static int stream_image(struct archive_writer *w, const char *role, struct image_plan *plan,
			struct err *err)
{
	struct part part = {.w = w, .role = role};
	const struct image_sink sink = {hold_part, send_part, &part};
	int ret;

	ret = image_plan_packed(plan, writer_parts_are_fine(role) ? FINE_PART_FRAMES : PART_FRAMES,
				writer_parts_allowed(w, role), err);
	if (ret < 0)
		return ret;
	ret = image_pack(plan, w->packed ? w->level : IMAGE_PACK_NONE, &sink, err);
	buf_free(&part.data);
	return ret;
}

static int stream_finish(struct archive_writer *w, const struct writer_front *front,
			 struct err *err)
{
	return layout_end_stream(&w->layout, front, err);
}

const struct writer_output writer_to_stream = {stream_copy, stream_image, stream_finish};
