/*
 * An image on its way into a file; see image_write.h.
 *
 * Each part is one job: a frame is hashed for the hash list and, while it is in the cache, for the
 * part's own digest, then written from where the source has it, without a copy. Kernel writeback is
 * started behind the writer, so that the fsync at the end finds little to do.
 */
#include "format/image_write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "format/digest.h"
#include "format/parallel.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/num.h"

#define SCAN_FRAMES	256u  /* of one scan job */
#define MIN_PART_FRAMES 512u  /* 32 MiB: smaller parts cost more mappings than they save time */
#define MAX_PART_FRAMES 8192u /* 512 MiB: registries want blobs below that */
#define PARTS		8u    /* keeps the cores busy and the list of blobs short */
#define BATCH		16u   /* frames of one write */
#define WRITEBACK	MIB(8)

struct scan {
	const struct image_source *source;
	uint64_t frames;
	uint8_t *kinds; /* enum extent_kind of each frame */
};

static int scan_job(void *opaque, uint64_t index, struct err *err)
{
	struct scan *scan = opaque;
	uint64_t first = index * SCAN_FRAMES, end = u64_min(first + SCAN_FRAMES, scan->frames);
	cleanup_free uint8_t *scratch = malloc(IMAGE_FRAME);

	if (scratch == NULL)
		return err_sys(err, ENOMEM, "read an image");
	for (uint64_t i = first; i < end; i++) {
		enum extent_kind kind = EXTENT_ZERO;
		const uint8_t *data = NULL;
		int ret = scan->source->frame(scan->source->opaque, i, scratch, &data, &kind, err);

		if (ret < 0)
			return ret;
		if (kind == EXTENT_DATA && is_zero(data, IMAGE_FRAME))
			kind = EXTENT_ZERO;
		scan->kinds[i] = (uint8_t)kind;
	}
	return 0;
}

int image_scan(struct image_plan *plan, const struct image_source *source, struct err *err)
{
	cleanup_free uint8_t *kinds = NULL;
	struct scan scan = {.source = source};
	int ret = 0;

	*plan = (struct image_plan){.source = source};
	plan->map.size = source->size;
	if (source->size == 0 || source->size > IMAGE_MAX_BYTES)
		return err_set(err, ERR_FAILED, "an image of %llu bytes",
			       (unsigned long long)source->size);
	scan.frames = align_up(source->size, IMAGE_FRAME) / IMAGE_FRAME;
	scan.kinds = kinds = malloc(scan.frames);
	if (kinds == NULL)
		return err_sys(err, ENOMEM, "read an image");
	ret = parallel_run((scan.frames + SCAN_FRAMES - 1) / SCAN_FRAMES, scan_job, &scan, err);
	for (uint64_t i = 0; ret == 0 && i < scan.frames; i++)
		ret = image_map_append(&plan->map, kinds[i], err);
	return ret;
}

int image_plan_parts(struct image_plan *plan, uint32_t max_parts, struct err *err)
{
	uint64_t frames = plan->map.data_frames, left = frames;
	uint64_t size = (frames + PARTS - 1) / PARTS;

	if (size < MIN_PART_FRAMES)
		size = MIN_PART_FRAMES;
	if (size > MAX_PART_FRAMES)
		size = MAX_PART_FRAMES;
	if (size * max_parts < frames)
		size = (frames + max_parts - 1) / max_parts;
	plan->part_frames = size;
	while (left > 0) {
		plan->part[plan->nparts].frames = u64_min(left, size);
		left -= plan->part[plan->nparts++].frames;
	}
	plan->hashes = malloc(frames * IMAGE_HASH_SIZE + 1);
	return plan->hashes != NULL ? 0 : err_sys(err, ENOMEM, "write an image");
}

/* A part in the making. */
struct stream {
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

static int write_batch(struct stream *s, struct err *err)
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

static int write_frame(struct stream *s, uint64_t index, uint64_t place, struct err *err)
{
	const struct image_source *source = s->plan->source;
	enum extent_kind kind = EXTENT_ZERO;
	const uint8_t *data = NULL;
	int ret = source->frame(source->opaque, index, s->scratch + s->queued * (size_t)IMAGE_FRAME,
				&data, &kind, err);

	if (ret < 0)
		return ret;
	if (kind != EXTENT_DATA)
		return err_set(err, ERR_FAILED, "the image changed while it was written");
	digest_add(s->frame, data, IMAGE_FRAME);
	digest_add(s->part, data, IMAGE_FRAME);
	ret = digest_end(s->frame, s->plan->hashes + place * IMAGE_HASH_SIZE, err);
	if (ret < 0)
		return ret;
	s->batch[s->queued++] = (struct iovec){(void *)(uintptr_t)data, IMAGE_FRAME};
	return s->queued == BATCH ? write_batch(s, err) : 0;
}

/* Places ascend with the extents in a map that image_scan() built. */
static int write_range(struct stream *s, uint64_t first, uint64_t end, struct err *err)
{
	const struct image_map *map = &s->plan->map;
	int ret = 0;

	for (uint32_t i = 0; ret == 0 && first < end && i < map->nextents; i++) {
		const struct extent *e = &map->extents[i];

		if (e->kind != EXTENT_DATA)
			continue;
		for (; ret == 0 && first < end && first < e->place + e->frames; first++)
			ret = write_frame(s, e->frame + (first - e->place), first, err);
	}
	return ret < 0 ? ret : write_batch(s, err);
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
	cleanup_free uint8_t *scratch = malloc(BATCH * (size_t)IMAGE_FRAME);
	struct stream s = {
		.plan = all->plan,
		.file = all->file,
		.scratch = scratch,
		.offset = part->offset,
		.flushed = part->offset,
	};
	int ret = scratch != NULL ? 0 : err_sys(err, ENOMEM, "write an image");

	if (ret == 0)
		ret = digest_new(&s.part, err);
	if (ret == 0)
		ret = digest_new(&s.frame, err);
	if (ret == 0)
		ret = write_range(&s, first, first + part->frames, err);
	if (ret == 0)
		ret = digest_end(s.part, part->digest, err);
	digest_free(s.part);
	digest_free(s.frame);
	return ret;
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
