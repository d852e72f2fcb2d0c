/*
 * Which frames of an image need not be written: those that are zero, and those that are as in the
 * parent. See image_write.h. A job looks at a range of frames; no two jobs touch the same frame.
 */
#include "format/image/image_write.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/parallel.h"
#include "format/crypto/digest.h"
#include "format/image/layers.h"

#define SCAN_FRAMES 256u /* of one job */

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
static int scan_compare(struct scan *scan, struct scanner *s, uint64_t index, const uint8_t *data,
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
	if (ret < 0)
		return ret;
	if (extent->image != NULL &&
	    memcmp(extent->image->hash_list + place * IMAGE_HASH_SIZE, hash, IMAGE_HASH_SIZE) == 0)
		*kind = EXTENT_PARENT;
	return 0;
}

static int scan_frame(struct scan *scan, struct scanner *s, uint64_t index, struct err *err)
{
	const struct image_source *source = scan->source;
	bool look = !source->exact || source->parent != NULL;
	enum extent_kind kind = EXTENT_ZERO;
	const uint8_t *data = NULL;
	int ret = source->frame(source->opaque, index, look ? s->scratch : NULL, &data, &kind, err);

	if (ret < 0)
		return ret;
	if (kind == EXTENT_DATA && !source->exact && is_zero(data, FRAME_SIZE))
		kind = EXTENT_ZERO;
	if (kind != EXTENT_PARENT && source->parent != NULL) {
		ret = scan_compare(scan, s, index, data, &kind, err);
		if (ret < 0)
			return ret;
	}
	scan->kinds[index] = (uint8_t)kind;
	return 0;
}

static int scan_job(void *opaque, uint64_t index, struct err *err)
{
	struct scan *scan = opaque;
	uint64_t first = index * SCAN_FRAMES, end = u64_min(first + SCAN_FRAMES, scan->frames);
	cleanup_free uint8_t *scratch = malloc(FRAME_SIZE);
	cleanup_digest struct digest *digest = NULL;
	struct scanner s = {.scratch = scratch};
	int ret;

	if (scratch == NULL)
		return err_sys(err, ENOMEM, "read an image");
	if (scan->source->parent != NULL) {
		ret = digest_new(&digest, err);
		if (ret < 0)
			return ret;
		s.digest = digest;
	}
	for (uint64_t i = first; i < end; i++) {
		ret = progress_check(scan->progress, err);
		if (ret < 0)
			return ret;
		ret = scan_frame(scan, &s, i, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* The map, and the hashes of its data frames in their order where they are known. */
static int fill_plan(struct image_plan *plan, const struct scan *scan, struct err *err)
{
	uint64_t place = 0;

	for (uint64_t i = 0; i < scan->frames; i++) {
		int ret = image_map_append(&plan->map, scan->kinds[i], err);

		if (ret < 0)
			return ret;
	}
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
	return ret < 0 ? ret : fill_plan(plan, &scan, err);
}
