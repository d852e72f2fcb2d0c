/* See load_memory.h. Owner's thread. */
#include "snapshot/load_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/parallel.h"
#include "format/image/frame_reader.h"
#include "snapshot/uffd.h"
#include "vmm/frameset.h"

#define JOB_FRAMES 64u

struct bring {
	struct machine *m;
	struct resume_report *report;
	struct layer_extents extents[MEM_MAX_RANGES];
	uint64_t *mapped[MEM_MAX_RANGES]; /* framesets: in place already; owned */
	uint64_t wanted;		  /* frames that are not */
	uint64_t page;
};

static int resolve(struct bring *b, const struct chain *l, unsigned range, struct err *err)
{
	const struct mem_range *r = &b->m->mem.range[range];
	struct image_layers layers;
	int ret = chain_memory(l, range, &layers, err);

	if (ret == 0 && layers.image[0]->map.size != r->size)
		ret = err_set(err, ERR_INTEGRITY, "%llu bytes, but the machine has %llu there",
			      (unsigned long long)layers.image[0]->map.size,
			      (unsigned long long)r->size);
	if (ret == 0)
		ret = image_layers_resolve(&layers, &b->extents[range], err);
	if (ret < 0)
		return err_context(err, ret, ROLE_MEMORY ".%u", range);
	b->mapped[range] = frameset_new(r->size / FRAME_SIZE);
	return b->mapped[range] != NULL ? 0 : err_sys(err, ENOMEM, "map memory");
}

static int map(struct bring *b, unsigned range, uint64_t frame, const struct blob *src,
	       struct err *err)
{
	int ret = mem_map_file(&b->m->mem, range, frame * FRAME_SIZE, src, err);

	if (ret == 0)
		frameset_add_range(b->mapped[range], frame, frame + src->len / FRAME_SIZE - 1);
	return ret;
}

/* Map what of a flat run is aligned, part for part. */
static int map_run(struct bring *b, unsigned range, const struct layer_extent *extent,
		   struct err *err)
{
	uint64_t done = 0, n;
	int ret = 0;

	for (; ret == 0 && done < extent->frames; done += n) {
		struct blob src =
			image_place(extent->image, extent->place + done, extent->frames - done, &n);

		if (src.offset % b->page == 0)
			ret = map(b, range, extent->frame + done, &src, err);
		else
			b->report->unaligned += src.len;
	}
	return ret;
}

/* The hot set of the newest file: places that are still what they were when it was recorded, for
 * they are of that very image. */
static int map_hot(struct bring *b, unsigned range, const struct image *image, struct err *err)
{
	uint64_t frames = image->hot.len / FRAME_SIZE;
	cleanup_free uint8_t *places = malloc(image->hotlist.len + 1);
	int ret = places != NULL ? blob_read(&image->hotlist, 0, places, image->hotlist.len, err)
				 : err_sys(err, ENOMEM, "map the hot set");

	if (image->hot.offset % b->page != 0) {
		b->report->unaligned += image->hot.len;
		return ret;
	}
	for (uint64_t i = 0, n; ret == 0 && i < frames; i += n) {
		uint64_t place = le_get64(places + i * 8), frame;
		struct blob src = {image->hot.fd, image->hot.offset + i * FRAME_SIZE, 0};

		if (place >= image->map.data_frames)
			return err_set(err, ERR_INTEGRITY, "the hot set names a place that is not");
		frame = image_map_frame_at(&image->map, place);
		for (n = 1; i + n < frames && le_get64(places + (i + n) * 8) == place + n &&
			    place + n < image->map.data_frames &&
			    image_map_frame_at(&image->map, place + n) == frame + n;)
			n++;
		src.len = n * FRAME_SIZE;
		ret = map(b, range, frame, &src, err);
	}
	return ret;
}

static int map_range(struct bring *b, const struct chain *l, unsigned range, struct err *err)
{
	const struct layer_extents *extents = &b->extents[range];
	const struct image *newest;
	char role[24];
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < extents->n; i++) {
		const struct layer_extent *extent = &extents->extent[i];

		if (extent->image != NULL && extent->image->encoding == IMAGE_FLAT)
			ret = map_run(b, range, extent, err);
	}
	snprintf(role, sizeof(role), ROLE_MEMORY ".%u", range);
	newest = archive_image(chain_newest(l), role);
	if (ret == 0 && newest->hot.len > 0)
		ret = map_hot(b, range, newest, err);
	return ret < 0 ? err_context(err, ret, "%s", role) : 0;
}

/* Count what is not in place: frames with data that nobody mapped. */
static void count_wanted(struct bring *b, unsigned range)
{
	const struct layer_extents *extents = &b->extents[range];

	for (size_t i = 0; i < extents->n; i++) {
		const struct layer_extent *extent = &extents->extent[i];

		for (uint64_t f = extent->frame;
		     extent->image != NULL && f < extent->frame + extent->frames; f++)
			b->wanted += !frameset_has(b->mapped[range], f);
	}
}

/* --- decoding all of it now --- */

struct decode {
	struct bring *b;
	unsigned range;
	struct frame_readers readers;
};

static int decode_job(void *opaque, uint64_t index, struct err *err)
{
	struct decode *d = opaque;
	const struct mem_range *r = &d->b->m->mem.range[d->range];
	uint64_t first = index * JOB_FRAMES;
	uint64_t end = u64_min(first + JOB_FRAMES, r->size / FRAME_SIZE);
	int ret = 0;

	for (uint64_t f = first; ret == 0 && f < end; f++) {
		const struct layer_extent *extent = layer_extents_find(&d->b->extents[d->range], f);

		if (extent->image != NULL && !frameset_has(d->b->mapped[d->range], f))
			ret = frame_readers_read(&d->readers, extent->image,
						 extent->place + (f - extent->frame),
						 r->host + f * FRAME_SIZE, err);
	}
	return ret;
}

static int decode_all(struct bring *b, struct err *err)
{
	struct decode d = {.b = b};
	int ret = 0;

	frame_readers_init(&d.readers);
	for (unsigned i = 0; ret == 0 && i < b->m->mem.nranges; i++) {
		uint64_t frames = b->m->mem.range[i].size / FRAME_SIZE;

		d.range = i;
		ret = parallel_run((frames + JOB_FRAMES - 1) / JOB_FRAMES, decode_job, &d, err);
	}
	frame_readers_free(&d.readers);
	b->report->decoded = b->wanted * FRAME_SIZE;
	return ret;
}

/* --- or when it is touched --- */

static void tell_present(struct bring *b, struct pager *pager)
{
	for (unsigned i = 0; i < b->m->mem.nranges; i++) {
		uint64_t frames = b->m->mem.range[i].size / FRAME_SIZE;

		for (uint64_t f = 0; f < frames; f++) {
			if (frameset_has(b->mapped[i], f))
				pager_mark_present(pager, i, f);
		}
	}
}

static int page(struct bring *b, const struct resume_params *params, struct err *err)
{
	int ret = pager_new(&b->report->pager, b->m, b->extents, err);

	/* It has taken the runs. */
	memset(b->extents, 0, sizeof(b->extents));
	if (ret < 0)
		return ret;
	tell_present(b, b->report->pager);
	if (params->record)
		ret = pager_record(b->report->pager, err);
	return ret < 0 ? ret : pager_start(b->report->pager, params->fill, err);
}

static bool can_page(struct err *why)
{
	cleanup_fd int fd = -1;

	return uffd_open(&fd, why) == 0;
}

static int bring(struct bring *b, const struct resume_params *params, struct err *err)
{
	int ret = 0;

	for (unsigned i = 0; ret == 0 && i < b->m->mem.nranges; i++) {
		ret = resolve(b, params->chain, i, err);
		if (ret == 0 && !params->record)
			ret = map_range(b, params->chain, i, err);
		if (ret == 0)
			count_wanted(b, i);
	}
	if (ret < 0 || b->wanted == 0)
		return ret;
	if (params->record || can_page(&b->report->why))
		return page(b, params, err);
	return decode_all(b, err);
}

int load_memory(struct machine *m, const struct resume_params *params, struct resume_report *report,
		struct err *err)
{
	struct bring b = {.m = m, .report = report, .page = (uint64_t)sysconf(_SC_PAGESIZE)};
	int ret = bring(&b, params, err);

	for (unsigned i = 0; i < MEM_MAX_RANGES; i++) {
		layer_extents_free(&b.extents[i]);
		free(b.mapped[i]);
	}
	return ret;
}
