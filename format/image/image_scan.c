/*
 * Which frames of an image need not be written: those that are zero, and those that are as in the
 * parent. See image_write.h.
 *
 * The source says which runs of frames it knows without reading (image_source.extent). The frames
 * of the other runs, one behind the other, are looked at: a job takes some of them, no two jobs the
 * same.
 */
#include "format/image/image_write.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/assert.h"
#include "base/cleanup.h"
#include "base/num.h"
#include "base/parallel.h"
#include "format/crypto/digest.h"
#include "format/image/layers.h"

#define SCAN_FRAMES 256u /* of one job */

struct scan_run {
	uint64_t looked; /* frames to look at in the runs before this one */
	uint64_t frame;
	uint64_t frames;
	enum extent_kind kind; /* EXTENT_DATA: each frame is looked at */
};

struct scan {
	const struct image_source *source;
	const struct progress *progress;
	struct scan_run *runs; /* owned; they tile the image */
	size_t nruns;
	uint64_t looked; /* frames that are looked at */
	uint8_t *kinds;	 /* owned; enum extent_kind of each of them */
	uint8_t *hashes; /* owned; of each of them that was compared; NULL without a parent */
};

static int scan_add_run(struct scan *scan, uint64_t frame, uint64_t frames, enum extent_kind kind,
			struct err *err)
{
	struct scan_run *last = scan->nruns > 0 ? &scan->runs[scan->nruns - 1] : NULL;

	if (last != NULL && last->kind == kind) {
		last->frames += frames;
	} else {
		struct scan_run *grown = array_grow(scan->runs, scan->nruns, sizeof(*grown));

		if (grown == NULL)
			return err_sys(err, ENOMEM, "read an image");
		scan->runs = grown;
		grown[scan->nruns++] = (struct scan_run){scan->looked, frame, frames, kind};
	}
	if (kind == EXTENT_DATA)
		scan->looked += frames;
	return 0;
}

/* Zeros over a parent: what is zero there, too, is as in the parent. */
static int scan_add_zeros(struct scan *scan, uint64_t frame, uint64_t frames, struct err *err)
{
	while (frames > 0) {
		const struct layer_extent *extent = layer_extents_find(scan->source->parent, frame);
		uint64_t n = u64_min(frames, extent->frame + extent->frames - frame);
		int ret = scan_add_run(scan, frame, n,
				       extent->image == NULL ? EXTENT_PARENT : EXTENT_ZERO, err);

		if (ret < 0)
			return ret;
		frame += n;
		frames -= n;
	}
	return 0;
}

static int scan_list_runs(struct scan *scan, uint64_t frames, struct err *err)
{
	const struct image_source *source = scan->source;
	uint64_t n;

	for (uint64_t at = 0; at < frames; at += n) {
		enum extent_kind kind = EXTENT_DATA;
		int ret;

		n = frames - at;
		if (source->extent != NULL)
			n = source->extent(source->opaque, at, n, &kind);
		assert(n > 0 && n <= frames - at);
		ret = kind == EXTENT_ZERO && source->parent != NULL
			      ? scan_add_zeros(scan, at, n, err)
			      : scan_add_run(scan, at, n, kind, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* What a job of the scan works with. */
struct scanner {
	uint8_t *scratch;
	struct digest *digest;
};

/* Data that the parent has too is as in the parent. */
static int scan_compare(struct scan *scan, struct scanner *s, uint64_t index, uint8_t *hash,
			const uint8_t *data, enum extent_kind *kind, struct err *err)
{
	const struct layer_extent *extent = layer_extents_find(scan->source->parent, index);
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

/* Frame `index`, the `looked`-th that is looked at. */
static int scan_frame(struct scan *scan, struct scanner *s, uint64_t index, uint64_t looked,
		      struct err *err)
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
		ret = scan_compare(scan, s, index, scan->hashes + looked * IMAGE_HASH_SIZE, data,
				   &kind, err);
		if (ret < 0)
			return ret;
	}
	scan->kinds[looked] = (uint8_t)kind;
	return 0;
}

static int scan_job(void *opaque, uint64_t index, struct err *err)
{
	struct scan *scan = opaque;
	uint64_t first = index * SCAN_FRAMES, end = u64_min(first + SCAN_FRAMES, scan->looked);
	size_t run =
		last_not_above(&scan->runs[0].looked, sizeof(scan->runs[0]), scan->nruns, first);
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
		const struct scan_run *r = &scan->runs[run];

		while (r->kind != EXTENT_DATA || i >= r->looked + r->frames)
			r = &scan->runs[++run];
		ret = progress_check(scan->progress, err);
		if (ret < 0)
			return ret;
		ret = scan_frame(scan, &s, r->frame + (i - r->looked), i, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* The map, and the hashes of its data frames in their order where they are known. */
static int fill_plan(struct image_plan *plan, const struct scan *scan, struct err *err)
{
	uint64_t place = 0;

	for (size_t n = 0; n < scan->nruns; n++) {
		const struct scan_run *run = &scan->runs[n];
		bool looked = run->kind == EXTENT_DATA;
		uint64_t step = looked ? 1 : run->frames;

		for (uint64_t i = 0; i < run->frames; i += step) {
			uint32_t kind = looked ? scan->kinds[run->looked + i] : run->kind;
			int ret = image_map_append(&plan->map, kind, step, err);

			if (ret < 0)
				return ret;
		}
	}
	plan->hashes = malloc(plan->map.data_frames * IMAGE_HASH_SIZE + 1);
	if (plan->hashes == NULL)
		return err_sys(err, ENOMEM, "write an image");
	plan->hashed = scan->hashes != NULL;
	for (uint64_t i = 0; plan->hashed && i < scan->looked; i++) {
		if (scan->kinds[i] == EXTENT_DATA)
			memcpy(plan->hashes + place++ * IMAGE_HASH_SIZE,
			       scan->hashes + i * IMAGE_HASH_SIZE, IMAGE_HASH_SIZE);
	}
	return 0;
}

static void scan_free(struct scan *scan)
{
	free(scan->runs);
	free(scan->kinds);
	free(scan->hashes);
}

int image_scan(struct image_plan *plan, const struct image_source *source,
	       struct progress *progress, struct err *err)
{
	__attribute__((cleanup(scan_free))) struct scan scan = {
		.source = source,
		.progress = progress,
	};
	int ret;

	*plan = (struct image_plan){.source = source, .progress = progress};
	plan->map.size = source->size;
	if (source->size == 0 || source->size > IMAGE_MAX_BYTES)
		return err_set(err, ERR_FAILED, "an image of %llu bytes",
			       (unsigned long long)source->size);
	ret = scan_list_runs(&scan, align_up(source->size, FRAME_SIZE) / FRAME_SIZE, err);
	if (ret < 0)
		return ret;
	scan.kinds = malloc(scan.looked + 1);
	if (source->parent != NULL)
		scan.hashes = malloc(scan.looked * IMAGE_HASH_SIZE + 1);
	if (scan.kinds == NULL || (source->parent != NULL && scan.hashes == NULL))
		return err_sys(err, ENOMEM, "read an image");
	ret = parallel_run((scan.looked + SCAN_FRAMES - 1) / SCAN_FRAMES, scan_job, &scan, err);
	return ret < 0 ? ret : fill_plan(plan, &scan, err);
}
