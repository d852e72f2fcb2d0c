/* See load_memory.h. Owner's thread. */
#include "snapshot/load_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/parallel.h"
#include "format/image/frame_reader.h"
#include "snapshot/uffd.h"
#include "vmm/frameset.h"

#define JOB_FRAMES 64u

struct load {
	struct machine *m;
	const struct load_params *params;
	struct load_report *report;
	struct layer_extents extents[MEM_MAX_RANGES]; /* owned */
	uint64_t *mapped[MEM_MAX_RANGES];	      /* framesets: in place already; owned */
	uint64_t wanted;			      /* frames that are not */
	uint64_t page;
};

static void load_free(struct load *load)
{
	for (unsigned i = 0; i < MEM_MAX_RANGES; i++) {
		layer_extents_free(&load->extents[i]);
		free(load->mapped[i]);
	}
}

static int resolve_range(struct load *load, unsigned range, struct err *err)
{
	const struct mem_range *r = &load->m->mem.range[range];
	struct image_layers layers;
	int ret = chain_memory(load->params->chain, range, &layers, err);

	if (ret < 0)
		return ret;
	if (layers.image[0]->map.size != r->size)
		return err_set(err, ERR_INTEGRITY, "%llu bytes, but the machine has %llu there",
			       (unsigned long long)layers.image[0]->map.size,
			       (unsigned long long)r->size);
	ret = image_layers_resolve(&layers, &load->extents[range], err);
	if (ret < 0)
		return ret;
	load->mapped[range] = frameset_new(r->size / FRAME_SIZE);
	return load->mapped[range] != NULL ? 0 : err_sys(err, ENOMEM, "map memory");
}

static int map_file_frames(struct load *load, unsigned range, uint64_t frame,
			   const struct blob *src, struct err *err)
{
	int ret = mem_map_file(&load->m->mem, range, frame * FRAME_SIZE, src, err);

	if (ret < 0)
		return ret;
	frameset_add_range(load->mapped[range], frame, frame + src->len / FRAME_SIZE - 1);
	return 0;
}

/* Map the aligned parts of a flat extent. */
static int map_extent(struct load *load, unsigned range, const struct layer_extent *extent,
		      struct err *err)
{
	for (uint64_t done = 0, n; done < extent->frames; done += n) {
		struct blob src =
			image_place(extent->image, extent->place + done, extent->frames - done, &n);
		int ret;

		if (src.offset % load->page != 0) {
			load->report->unaligned += src.len;
			continue;
		}
		ret = map_file_frames(load, range, extent->frame + done, &src, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* Map the hot set of the newest file. Its places are still valid: they are places of that same
 * image. */
static int map_hot(struct load *load, unsigned range, const struct image *image, struct err *err)
{
	uint64_t frames = image->hot.len / FRAME_SIZE;
	cleanup_free uint8_t *places = NULL;
	int ret = blob_read_all(&image->hotlist, image->hotlist.len, &places, err);

	if (ret < 0)
		return ret;
	if (image->hot.offset % load->page != 0) {
		load->report->unaligned += image->hot.len;
		return 0;
	}
	for (uint64_t i = 0, n; i < frames; i += n) {
		uint64_t place = le_get64(places + i * 8), frame;
		struct blob src = {.fd = image->hot.fd,
				   .offset = image->hot.offset + i * FRAME_SIZE};

		if (place >= image->map.data_frames)
			return err_set(err, ERR_INTEGRITY, "the hot set names a place that is not");
		frame = image_map_frame_at(&image->map, place);
		for (n = 1; i + n < frames && le_get64(places + (i + n) * 8) == place + n &&
			    place + n < image->map.data_frames &&
			    image_map_frame_at(&image->map, place + n) == frame + n;)
			n++;
		src.len = n * FRAME_SIZE;
		ret = map_file_frames(load, range, frame, &src, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int map_range(struct load *load, unsigned range, const char *role, struct err *err)
{
	const struct layer_extents *extents = &load->extents[range];
	const struct image *newest = archive_image(chain_newest(load->params->chain), role);

	for (size_t i = 0; i < extents->n; i++) {
		const struct layer_extent *extent = &extents->extent[i];
		int ret;

		if (extent->image == NULL || extent->image->encoding != IMAGE_FLAT ||
		    extent->image->checked)
			continue;
		ret = map_extent(load, range, extent, err);
		if (ret < 0)
			return ret;
	}
	return newest->hot.len > 0 && !newest->checked ? map_hot(load, range, newest, err) : 0;
}

/* Count the frames with data that are not mapped. */
static void count_wanted(struct load *load, unsigned range)
{
	const struct layer_extents *extents = &load->extents[range];

	for (size_t i = 0; i < extents->n; i++) {
		const struct layer_extent *extent = &extents->extent[i];

		for (uint64_t f = extent->frame;
		     extent->image != NULL && f < extent->frame + extent->frames; f++)
			load->wanted += !frameset_has(load->mapped[range], f);
	}
}

/* --- decoding all of it now --- */

struct decode {
	struct load *load;
	unsigned range;
	struct frame_readers *readers;
};

static int decode_job(void *opaque, uint64_t index, struct err *err)
{
	struct decode *d = opaque;
	const struct load *load = d->load;
	const struct mem_range *r = &load->m->mem.range[d->range];
	uint64_t first = index * JOB_FRAMES;
	uint64_t end = u64_min(first + JOB_FRAMES, r->size / FRAME_SIZE);

	for (uint64_t f = first; f < end; f++) {
		const struct layer_extent *extent = layer_extents_find(&load->extents[d->range], f);
		int ret;

		if (extent->image == NULL || frameset_has(load->mapped[d->range], f))
			continue;
		ret = frame_readers_read(d->readers, extent->image,
					 extent->place + (f - extent->frame),
					 r->host + f * FRAME_SIZE, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int decode_all(struct load *load, struct err *err)
{
	cleanup_frame_readers struct frame_readers readers;
	struct decode d = {.load = load, .readers = &readers};

	frame_readers_init(&readers);
	for (d.range = 0; d.range < load->m->mem.nranges; d.range++) {
		uint64_t frames = load->m->mem.range[d.range].size / FRAME_SIZE;
		int ret = parallel_run((frames + JOB_FRAMES - 1) / JOB_FRAMES, decode_job, &d, err);

		if (ret < 0)
			return ret;
	}
	load->report->decoded = load->wanted * FRAME_SIZE;
	return 0;
}

/* --- or when it is touched --- */

static int start_pager(struct load *load, struct err *err)
{
	int ret = pager_new(&load->report->pager, load->m, load->extents, err);
	struct pager *pager = load->report->pager;

	if (ret < 0)
		return ret;
	for (unsigned i = 0; i < load->m->mem.nranges; i++) {
		uint64_t frames = load->m->mem.range[i].size / FRAME_SIZE;

		for (uint64_t f = 0; f < frames; f++) {
			if (frameset_has(load->mapped[i], f))
				pager_mark_present(pager, i, f);
		}
	}
	if (load->params->record) {
		ret = pager_record(pager, err);
		if (ret < 0)
			return ret;
	}
	return pager_start(pager, load->params->fill, err);
}

static bool have_userfaultfd(struct err *why)
{
	cleanup_fd int fd = -1;

	return uffd_open(&fd, why) == 0;
}

static int load_ranges(struct load *load, struct err *err)
{
	for (unsigned i = 0; i < load->m->mem.nranges; i++) {
		char role[24];
		int ret;

		snprintf(role, sizeof(role), ROLE_MEMORY ".%u", i);
		ret = resolve_range(load, i, err);
		if (ret < 0)
			return err_context(err, ret, "%s", role);
		if (!load->params->record) {
			ret = map_range(load, i, role, err);
			if (ret < 0)
				return err_context(err, ret, "%s", role);
		}
		count_wanted(load, i);
	}
	if (load->wanted == 0)
		return 0;
	if (load->params->record || have_userfaultfd(&load->report->why))
		return start_pager(load, err);
	return decode_all(load, err);
}

int load_memory(struct machine *m, const struct load_params *params, struct load_report *report,
		struct err *err)
{
	__attribute__((cleanup(load_free))) struct load load = {
		.m = m,
		.params = params,
		.report = report,
		.page = (uint64_t)sysconf(_SC_PAGESIZE),
	};

	return load_ranges(&load, err);
}
