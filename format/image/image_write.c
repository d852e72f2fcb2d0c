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
#include "format/image/layers.h"

#define SCAN_FRAMES	256u  /* of one scan job */
#define MIN_PART_FRAMES 512u  /* 32 MiB: smaller parts cost more mappings than they save time */
#define MAX_PART_FRAMES 8192u /* 512 MiB: registries want blobs below that */
/* 3 GiB: offsets in a packed part have 32 bits, and some frames do not get smaller. */
#define MAX_PACKED_FRAMES 49152u
#define PARTS		  8u  /* keeps the cores busy and the list of blobs short */
#define BATCH		  16u /* frames of one write */
#define WRITEBACK	  MIB(8)

struct scan {
	const struct image_source *source;
	const struct progress *progress;
	uint64_t frames;
	uint8_t *kinds;	 /* enum extent_kind of each frame */
	uint8_t *hashes; /* of each frame that was compared; NULL without a parent */
};

/* What a job of the scan works with. */
struct scanner {
	uint8_t *scratch;
	struct digest *digest;
};

/* Data that the parent has too is as in the parent. */
static int compare(struct scan *scan, struct scanner *s, uint64_t index, const uint8_t *data,
		   enum extent_kind *kind, struct err *err)
{
	const struct layer_extent *extent = layer_extents_find(scan->source->parent, index);
	uint8_t *hash = scan->hashes + index * IMAGE_HASH_SIZE;
	uint64_t place = extent->place + (index - extent->frame);
	int ret;

	if (*kind == EXTENT_ZERO) {
		*kind = extent->image == NULL ? EXTENT_PARENT : EXTENT_ZERO;
		return 0;
	}
	digest_add(s->digest, data, FRAME_SIZE);
	ret = digest_end(s->digest, hash, err);
	if (ret == 0 && extent->image != NULL &&
	    memcmp(extent->image->hash_list + place * IMAGE_HASH_SIZE, hash, IMAGE_HASH_SIZE) == 0)
		*kind = EXTENT_PARENT;
	return ret;
}

static int scan_frame(struct scan *scan, struct scanner *s, uint64_t index, struct err *err)
{
	const struct image_source *source = scan->source;
	bool look = !source->exact || source->parent != NULL;
	enum extent_kind kind = EXTENT_ZERO;
	const uint8_t *data = NULL;
	int ret = source->frame(source->opaque, index, look ? s->scratch : NULL, &data, &kind, err);

	if (ret == 0 && kind == EXTENT_DATA && !source->exact && is_zero(data, FRAME_SIZE))
		kind = EXTENT_ZERO;
	if (ret == 0 && kind != EXTENT_PARENT && source->parent != NULL)
		ret = compare(scan, s, index, data, &kind, err);
	scan->kinds[index] = (uint8_t)kind;
	return ret;
}

static int scan_job(void *opaque, uint64_t index, struct err *err)
{
	struct scan *scan = opaque;
	uint64_t first = index * SCAN_FRAMES, end = u64_min(first + SCAN_FRAMES, scan->frames);
	cleanup_free uint8_t *scratch = malloc(FRAME_SIZE);
	cleanup_digest struct digest *digest = NULL;
	struct scanner s = {.scratch = scratch};
	int ret = 0;

	if (scratch == NULL)
		return err_sys(err, ENOMEM, "read an image");
	if (scan->source->parent != NULL)
		ret = digest_new(&digest, err);
	s.digest = digest;
	for (uint64_t i = first; ret == 0 && i < end; i++) {
		ret = progress_check(scan->progress, err);
		if (ret == 0)
			ret = scan_frame(scan, &s, i, err);
	}
	return ret;
}

/* The map, and the hashes of its data frames in their order where they are known. */
static int take_over(struct image_plan *plan, const struct scan *scan, struct err *err)
{
	uint64_t place = 0;
	int ret = 0;

	for (uint64_t i = 0; ret == 0 && i < scan->frames; i++)
		ret = image_map_append(&plan->map, scan->kinds[i], err);
	if (ret < 0)
		return ret;
	plan->hashes = malloc(plan->map.data_frames * IMAGE_HASH_SIZE + 1);
	if (plan->hashes == NULL)
		return err_sys(err, ENOMEM, "write an image");
	plan->hashed = scan->hashes != NULL;
	for (uint64_t i = 0; plan->hashed && i < scan->frames; i++) {
		if (scan->kinds[i] == EXTENT_DATA)
			memcpy(plan->hashes + place++ * IMAGE_HASH_SIZE,
			       scan->hashes + i * IMAGE_HASH_SIZE, IMAGE_HASH_SIZE);
	}
	return 0;
}

int image_scan(struct image_plan *plan, const struct image_source *source,
	       struct progress *progress, struct err *err)
{
	cleanup_free uint8_t *kinds = NULL, *hashes = NULL;
	struct scan scan = {.source = source, .progress = progress};
	int ret;

	*plan = (struct image_plan){.source = source, .progress = progress};
	plan->map.size = source->size;
	if (source->size == 0 || source->size > IMAGE_MAX_BYTES)
		return err_set(err, ERR_FAILED, "an image of %llu bytes",
			       (unsigned long long)source->size);
	scan.frames = align_up(source->size, FRAME_SIZE) / FRAME_SIZE;
	scan.kinds = kinds = malloc(scan.frames);
	if (source->parent != NULL)
		scan.hashes = hashes = malloc(scan.frames * IMAGE_HASH_SIZE);
	if (kinds == NULL || (source->parent != NULL && hashes == NULL))
		return err_sys(err, ENOMEM, "read an image");
	ret = parallel_run((scan.frames + SCAN_FRAMES - 1) / SCAN_FRAMES, scan_job, &scan, err);
	return ret < 0 ? ret : take_over(plan, &scan, err);
}

static void cut(struct image_plan *plan, uint64_t size, uint32_t max_parts)
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
	cut(plan, u64_min(size, MAX_PART_FRAMES), max_parts);
}

int image_plan_packed(struct image_plan *plan, uint64_t part_frames, uint32_t max_parts,
		      struct err *err)
{
	uint64_t fewest = (plan->map.data_frames + MAX_PACKED_FRAMES - 1) / MAX_PACKED_FRAMES;

	if (fewest > IMAGE_MAX_PARTS)
		return err_set(err, ERR_FAILED, "%llu GiB of data are too much to be packed",
			       (unsigned long long)(plan->map.data_frames * FRAME_SIZE >> 30));
	cut(plan, part_frames, fewest > max_parts ? (uint32_t)fewest : max_parts);
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
	const uint8_t *data = NULL;
	int ret = image_plan_read(s->plan, index, s->scratch + s->queued * (size_t)FRAME_SIZE,
				  &data, err);

	if (ret < 0)
		return ret;
	digest_add(s->part, data, FRAME_SIZE);
	if (!s->plan->hashed) {
		digest_add(s->frame, data, FRAME_SIZE);
		ret = digest_end(s->frame, s->plan->hashes + place * IMAGE_HASH_SIZE, err);
	}
	if (ret < 0)
		return ret;
	s->batch[s->queued++] = (struct iovec){(void *)(uintptr_t)data, FRAME_SIZE};
	return s->queued == BATCH ? write_batch(s, err) : 0;
}

static int write_range(struct stream *s, uint64_t first, uint64_t end, struct err *err)
{
	uint32_t extent = 0;
	int ret = 0;

	for (uint64_t place = first; ret == 0 && place < end; place++)
		ret = write_frame(s, image_plan_frame(s->plan, place, &extent), place, err);
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
	cleanup_free uint8_t *scratch = malloc(BATCH * (size_t)FRAME_SIZE);
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
