/*
 * An image on its way into a file; see image_write.h.
 *
 * Each part is one job: a frame is hashed for the hash list and, while it is in the cache, for the
 * part's own digest, then written from where the source has it, without a copy. Kernel writeback is
 * started behind the writer, so that the fsync at the end finds little to do.
 */
#include "format/image/image_write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/parallel.h"
#include "format/crypto/digest.h"

#define MIN_PART_FRAMES 512u  /* 32 MiB: smaller parts cost more mappings than they save time */
#define MAX_PART_FRAMES 8192u /* 512 MiB: registries want blobs below that */
/* 3 GiB: offsets in a packed part have 32 bits, and some frames do not get smaller. */
#define MAX_PACKED_FRAMES 49152u
#define PARTS		  8u  /* keeps the cores busy and the list of blobs short */
#define BATCH		  16u /* frames of one write */
#define WRITEBACK	  MIB(8)

static void cut_parts(struct image_plan *plan, uint64_t size, uint32_t max_parts)
{
	uint64_t frames = plan->map.data_frames, left = frames;

	if (size * max_parts < frames)
		size = (frames + max_parts - 1) / max_parts;
	plan->part_frames = size;
	while (left > 0) {
		plan->part[plan->nparts].frames = u64_min(left, size);
		left -= plan->part[plan->nparts++].frames;
	}
}

void image_plan_parts(struct image_plan *plan, uint32_t max_parts)
{
	uint64_t size = (plan->map.data_frames + PARTS - 1) / PARTS;

	if (size < MIN_PART_FRAMES)
		size = MIN_PART_FRAMES;
	cut_parts(plan, u64_min(size, MAX_PART_FRAMES), max_parts);
}

int image_plan_packed(struct image_plan *plan, uint64_t part_frames, uint32_t max_parts,
		      struct err *err)
{
	uint64_t fewest = (plan->map.data_frames + MAX_PACKED_FRAMES - 1) / MAX_PACKED_FRAMES;

	if (fewest > IMAGE_MAX_PARTS)
		return err_set(err, ERR_FAILED, "%llu GiB of data are too much to be packed",
			       (unsigned long long)(plan->map.data_frames * FRAME_SIZE >> 30));
	cut_parts(plan, part_frames, fewest > max_parts ? (uint32_t)fewest : max_parts);
	return 0;
}

/* Places ascend with the extents in a map that image_scan() built. */
uint64_t image_plan_frame(const struct image_plan *plan, uint64_t place, uint32_t *extent)
{
	const struct extent *e = &plan->map.extents[*extent];

	while (e->kind != EXTENT_DATA || place >= e->place + e->frames)
		e++;
	*extent = (uint32_t)(e - plan->map.extents);
	return e->frame + (place - e->place);
}

int image_plan_read(const struct image_plan *plan, uint64_t index, uint8_t *scratch,
		    const uint8_t **data, struct err *err)
{
	const struct image_source *source = plan->source;
	enum extent_kind kind = EXTENT_ZERO;
	int ret = progress_check(plan->progress, err);

	if (ret < 0)
		return ret;
	ret = source->frame(source->opaque, index, scratch, data, &kind, err);
	if (ret < 0)
		return ret;
	if (kind != EXTENT_DATA)
		return err_set(err, ERR_FAILED, "the image changed while it was written");
	progress_add(plan->progress, FRAME_SIZE);
	return 0;
}

/* A part that is being written. */
struct part_stream {
	const struct image_plan *plan;
	const struct tempfile *file;
	struct digest *part;
	struct digest *frame;
	uint8_t *scratch; /* BATCH frames */
	struct iovec batch[BATCH];
	unsigned queued;
	uint64_t offset;  /* of the next write */
	uint64_t flushed; /* writeback was started up to here */
};

static int write_batch(struct part_stream *s, struct err *err)
{
	struct iovec *iov = s->batch;
	unsigned left = s->queued;

	while (left > 0) {
		ssize_t put = pwritev(s->file->fd, iov, (int)left, (off_t)s->offset);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return tempfile_error(s->file, put < 0 ? errno : EIO, err);
		s->offset += (uint64_t)put;
		for (; left > 0 && (size_t)put >= iov->iov_len; iov++, left--)
			put -= (ssize_t)iov->iov_len;
		if (left > 0) {
			iov->iov_base = (uint8_t *)iov->iov_base + put;
			iov->iov_len -= (size_t)put;
		}
	}
	s->queued = 0;
	if (s->offset - s->flushed >= WRITEBACK) {
		sync_file_range(s->file->fd, (off_t)s->flushed, (off_t)(s->offset - s->flushed),
				SYNC_FILE_RANGE_WRITE);
		s->flushed = s->offset;
	}
	return 0;
}

static int write_frame(struct part_stream *s, uint64_t index, uint64_t place, struct err *err)
{
	const uint8_t *data = NULL;
	int ret = image_plan_read(s->plan, index, s->scratch + s->queued * (size_t)FRAME_SIZE,
				  &data, err);

	if (ret < 0)
		return ret;
	digest_add(s->part, data, FRAME_SIZE);
	if (!s->plan->hashed) {
		digest_add(s->frame, data, FRAME_SIZE);
		ret = digest_end(s->frame, s->plan->hashes + place * IMAGE_HASH_SIZE, err);
		if (ret < 0)
			return ret;
	}
	s->batch[s->queued++] = (struct iovec){(void *)(uintptr_t)data, FRAME_SIZE};
	return s->queued == BATCH ? write_batch(s, err) : 0;
}

struct write_all {
	struct image_plan *plan;
	const struct tempfile *file;
};

static int write_job(void *opaque, uint64_t index, struct err *err)
{
	const struct write_all *all = opaque;
	struct image_part *part = &all->plan->part[index];
	uint64_t first = index * all->plan->part_frames;
	cleanup_free uint8_t *scratch = malloc(BATCH * (size_t)FRAME_SIZE);
	cleanup_digest struct digest *part_digest = NULL, *frame_digest = NULL;
	struct part_stream s = {
		.plan = all->plan,
		.file = all->file,
		.scratch = scratch,
		.offset = part->offset,
		.flushed = part->offset,
	};
	uint32_t extent = 0;
	int ret;

	if (scratch == NULL)
		return err_sys(err, ENOMEM, "write an image");
	ret = digest_new(&part_digest, err);
	if (ret < 0)
		return ret;
	ret = digest_new(&frame_digest, err);
	if (ret < 0)
		return ret;
	s.part = part_digest;
	s.frame = frame_digest;
	for (uint64_t place = first; place < first + part->frames; place++) {
		ret = write_frame(&s, image_plan_frame(s.plan, place, &extent), place, err);
		if (ret < 0)
			return ret;
	}
	ret = write_batch(&s, err);
	if (ret < 0)
		return ret;
	return digest_end(part_digest, part->digest, err);
}

int image_write_parts(struct image_plan *plan, const struct tempfile *file, struct err *err)
{
	struct write_all all = {.plan = plan, .file = file};

	return parallel_run(plan->nparts, write_job, &all, err);
}

void image_plan_free(struct image_plan *plan)
{
	image_map_free(&plan->map);
	free(plan->hashes);
	*plan = (struct image_plan){0};
}
