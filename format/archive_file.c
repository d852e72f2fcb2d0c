/*
 * The way of an archive into a file: bulk payloads go to where they will stay, on all cores;
 * headers and metadata follow when everything is known, into the room that was left.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"
#include "format/archive_writer_internal.h"
#include "format/image/image_pack.h"
#include "format/tar.h"
#include "format/verified.h"

#define COPY_AT_ONCE	   MIB(256) /* between two looks at whether it is cancelled */
#define PACKED_PART_FRAMES 8192u    /* 512 MiB of flat data, some 150 MiB packed */

/* An aligned place for a bulk payload, with room for its header in front. */
static uint64_t reserve(struct archive_writer *w, uint64_t size)
{
	uint64_t offset = align_up(w->end + TAR_BLOCK, FRAME_SIZE);

	w->end = offset + align_up(size, TAR_BLOCK);
	return offset;
}

/* Nothing is mapped from a packed part: its header follows what was before. */
static uint64_t next_packed(const struct archive_writer *w)
{
	return w->end + TAR_BLOCK;
}

static bool is_packed(const struct oci_descriptor *d)
{
	return strcmp(d->media_type, OCI_PACKED_TYPE) == 0;
}

/* Copy inside the kernel; shared extents where the file system can. -EXDEV and the like: it
 * cannot. */
static int copy_in_kernel(struct archive_writer *w, const struct blob *blob, uint64_t offset)
{
	off_t from = (off_t)blob->offset, to = (off_t)offset;
	uint64_t left = blob->len;

	while (left > 0) {
		ssize_t moved;

		if (progress_is_cancelled(w->out.progress))
			return -ECANCELED;
		moved = copy_file_range(blob->fd, &from, w->out.file.fd, &to,
					u64_min(left, COPY_AT_ONCE), 0);

		if (moved < 0 && errno == EINTR)
			continue;
		if (moved <= 0)
			return moved < 0 ? -errno : -EIO;
		left -= (uint64_t)moved;
		progress_add(w->out.progress, (uint64_t)moved);
	}
	return 0;
}

/* The digest of a payload in a file known to be good is taken over. Not that of packed parts: their
 * frames were checked alone, if at all. Otherwise the copy is hashed and must agree. */
static int copy_payload(struct archive_writer *w, const struct oci_descriptor *d,
			const struct blob *blob, uint64_t offset, char digest[DIGEST_TEXT_SIZE],
			struct err *err)
{
	bool believed = d->digest[0] != '\0' && !is_packed(d);
	struct stat st;
	int ret;

	if (believed && fstat(blob->fd, &st) == 0 && verified_known(&st)) {
		strcpy(digest, d->digest);
		ret = copy_in_kernel(w, blob, offset);
		if (ret == 0)
			return 0;
		if (ret == -ECANCELED)
			return progress_check(w->out.progress, err);
		if (ret == -ENOSPC || ret == -EDQUOT || ret == -EFBIG)
			return tempfile_error(&w->out.file, -ret, err);
	}
	ret = writer_copy_hashed(&w->out, blob, offset, digest, err);
	if (ret < 0)
		return ret;
	if (d->digest[0] != '\0' && strcmp(digest, d->digest) != 0)
		return err_set(err, ERR_INTEGRITY, "the file it comes from is damaged");
	return 0;
}

static int file_copy(struct archive_writer *w, const struct oci_descriptor *d,
		     const struct blob *blob, struct err *err)
{
	uint64_t offset = is_packed(d) ? next_packed(w) : reserve(w, blob->len);
	struct oci_descriptor copied = *d;
	int ret = copy_payload(w, d, blob, offset, copied.digest, err);

	w->end = offset + align_up(blob->len, TAR_BLOCK);
	return ret < 0 ? ret : writer_add_bulk(w, &copied, offset, err);
}

static int write_flat_parts(struct archive_writer *w, const char *role, struct image_plan *plan,
			    struct err *err)
{
	int ret;

	image_plan_parts(plan, writer_parts_allowed(w, role));
	for (uint32_t i = 0; i < plan->nparts; i++)
		plan->part[i].offset = reserve(w, plan->part[i].frames * FRAME_SIZE);
	ret = image_write_parts(plan, &w->out.file, err);
	if (ret < 0)
		return ret;
	for (uint32_t i = 0; i < plan->nparts; i++) {
		const struct image_part *part = &plan->part[i];
		struct oci_descriptor d;

		writer_describe_part(role, false, i, part->frames * FRAME_SIZE, part->digest, &d);
		ret = writer_add_bulk(w, &d, part->offset, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* Where a packed image goes: part behind part, at the end of the file so far. */
struct packed_target {
	struct archive_writer *w;
	const char *role;
	uint64_t offset; /* of the part */
	uint64_t size;	 /* of it, so far */
};

static int take_packed(void *opaque, const void *data, size_t len, struct err *err)
{
	struct packed_target *t = opaque;
	int ret = out_write(&t->w->out, data, len, t->offset + t->size, err);

	t->size += len;
	return ret;
}

static int end_packed(void *opaque, uint32_t index, uint64_t size, const uint8_t *digest,
		      struct err *err)
{
	struct packed_target *t = opaque;
	struct oci_descriptor d;
	int ret;

	writer_describe_part(t->role, true, index, size, digest, &d);
	ret = writer_add_bulk(t->w, &d, t->offset, err);
	t->w->end = t->offset + align_up(size, TAR_BLOCK);
	t->offset = next_packed(t->w);
	t->size = 0;
	return ret;
}

static int write_packed_parts(struct archive_writer *w, const char *role, struct image_plan *plan,
			      struct err *err)
{
	struct packed_target target = {.w = w, .role = role, .offset = next_packed(w)};
	const struct image_sink sink = {take_packed, end_packed, &target};

	int ret = image_plan_packed(
		plan, writer_parts_are_fine(role) ? FINE_PART_FRAMES : PACKED_PART_FRAMES,
		writer_parts_allowed(w, role), err);

	return ret < 0 ? ret : image_pack(plan, w->level, &sink, err);
}

static int file_image(struct archive_writer *w, const char *role, struct image_plan *plan,
		      struct err *err)
{
	return w->packed ? write_packed_parts(w, role, plan, err)
			 : write_flat_parts(w, role, plan, err);
}

static int file_finish(struct archive_writer *w, const struct writer_front *front, struct err *err)
{
	struct stat st;
	bool settled;
	int ret = layout_write_file(&w->layout, front, err);

	if (ret < 0)
		return ret;
	/* Publishing syncs first, which may take long, and is no longer cancelled. */
	if ((w->out.progress != NULL || tempfile_is_adopted(&w->out.file)) &&
	    fsync(w->out.file.fd) < 0)
		return tempfile_error(&w->out.file, errno, err);
	ret = progress_check(w->out.progress, err);
	if (ret < 0 || tempfile_is_adopted(&w->out.file))
		return ret;
	progress_commit(w->out.progress);
	/* Nobody else knows the file yet. */
	settled = fstat(w->out.file.fd, &st) == 0 && verified_settle(&st);
	ret = tempfile_publish(&w->out.file, &st, err);
	if (ret < 0)
		return ret;
	if (settled)
		verified_remember(&st);
	return 0;
}

const struct writer_output writer_to_file = {file_copy, file_image, file_finish};
