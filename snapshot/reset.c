/* See reset.h. */
#include "snapshot/reset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/num.h"
#include "format/image/frame_reader.h"
#include "snapshot/staged.h"
#include "vmm/frameset.h"

struct golden_range {
	struct layer_extents extents; /* owned: where the file has each frame */
	uint8_t *copy;		      /* owned mapping of the range's size: frames as they were */
	uint64_t *loaded;	      /* owned frameset: they are there; zero frames always are */
};

struct golden {
	struct machine *machine;
	struct staged staged; /* owned */
	struct frame_readers readers;
	uint64_t frames; /* loaded, with data */
	struct golden_range range[MEM_MAX_RANGES];
};

static int golden_range_open(struct golden *g, const struct chain *chain, unsigned index,
			     struct err *err)
{
	const struct mem_range *mem = &g->machine->mem.range[index];
	struct golden_range *r = &g->range[index];
	struct image_layers layers;
	int ret = chain_memory(chain, index, &layers, err);
	void *copy;

	if (ret < 0)
		return ret;
	ret = image_layers_resolve(&layers, &r->extents, err);
	if (ret < 0)
		return ret;
	r->loaded = frameset_new(mem->size / FRAME_SIZE);
	if (r->loaded == NULL)
		return err_sys(err, ENOMEM, "keep what memory was");
	copy = mmap(NULL, mem->size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (copy == MAP_FAILED)
		return err_sys(err, errno, "keep what memory was");
	r->copy = copy;
	/* Few frames of it are ever used, and they are written one at a time. */
	(void)madvise(copy, mem->size, MADV_NOHUGEPAGE);
	return 0;
}

static int golden_init(struct golden *g, const struct chain *chain, struct err *err)
{
	int ret = staged_read(&g->staged, g->machine, chain_newest(chain), err);

	for (unsigned i = 0; ret >= 0 && i < g->machine->mem.nranges; i++)
		ret = golden_range_open(g, chain, i, err);
	return ret < 0 ? ret : dirty_track(&g->machine->dirty, err);
}

int golden_open(struct golden **out, struct machine *m, const struct chain *chain, struct err *err)
{
	struct golden *g = calloc(1, sizeof(*g));
	int ret;

	*out = NULL;
	if (g == NULL)
		return err_sys(err, ENOMEM, "keep what the machine was");
	g->machine = m;
	frame_readers_init(&g->readers);
	ret = golden_init(g, chain, err);
	if (ret < 0) {
		golden_close(g);
		return err_context(err, ret, "--golden");
	}
	m->kvm.exact_edges = true;
	*out = g;
	return 0;
}

void golden_close(struct golden *g)
{
	if (g == NULL)
		return;
	for (unsigned i = 0; i < MEM_MAX_RANGES; i++) {
		struct golden_range *r = &g->range[i];

		if (r->copy != NULL)
			munmap(r->copy, g->machine->mem.range[i].size);
		free(r->loaded);
		layer_extents_free(&r->extents);
	}
	frame_readers_free(&g->readers);
	staged_free(&g->staged);
	free(g);
}

uint64_t golden_bytes(const struct golden *g)
{
	return g->frames * FRAME_SIZE;
}

/* --- memory --- */

/* The next pages of the set that lie together, from *end on: [*first, *end). */
static bool next_pages(const uint64_t *set, uint64_t npages, uint64_t *first, uint64_t *end)
{
	uint64_t page = *end, bits;

	for (;; page = align_down(page, 64) + 64) {
		if (page >= npages)
			return false;
		bits = set[page / 64] >> page % 64;
		if (bits != 0)
			break;
	}
	page += (unsigned)__builtin_ctzll(bits);
	*first = page;
	while (page < npages && frameset_has(set, page))
		page++;
	*end = page;
	return true;
}

void golden_count_changes(struct golden *g, uint32_t counts[CHANGED_PARTS])
{
	struct machine *m = g->machine;
	const uint64_t size = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t all = 0, before = 0, first, end;

	memset(counts, 0, CHANGED_PARTS * sizeof(*counts));
	for (unsigned i = 0; i < m->mem.nranges; i++)
		all += m->mem.range[i].size / size;
	for (unsigned i = 0; i < m->mem.nranges; i++) {
		const uint64_t pages = m->mem.range[i].size / size;
		const uint64_t *set = dirty_tracked(&m->dirty, i);

		for (end = 0; next_pages(set, pages, &first, &end);) {
			for (uint64_t page = first; page < end; page++)
				counts[(before + page) * CHANGED_PARTS / all]++;
		}
		before += pages;
	}
}

static int load_frame(struct golden *g, unsigned range, uint64_t frame, struct err *err)
{
	struct golden_range *r = &g->range[range];
	const struct layer_extent *extent;

	if (frameset_has(r->loaded, frame))
		return 0;
	extent = layer_extents_find(&r->extents, frame);
	if (extent->image != NULL) {
		int ret = frame_readers_read(&g->readers, extent->image,
					     extent->place + (frame - extent->frame),
					     r->copy + frame * FRAME_SIZE, err);

		if (ret < 0)
			return ret;
		g->frames++;
	}
	frameset_add(r->loaded, frame);
	return 0;
}

/* Everything is loaded before anything is put back: a file that cannot be read changes nothing. */
static int restore_pages(struct golden *g, uint64_t *restored, struct err *err)
{
	struct machine *m = g->machine;
	const uint64_t size = (uint64_t)sysconf(_SC_PAGESIZE);
	const uint64_t *set[MEM_MAX_RANGES];
	uint64_t first, end;

	for (unsigned i = 0; i < m->mem.nranges; i++) {
		set[i] = dirty_tracked(&m->dirty, i);
		for (end = 0; next_pages(set[i], m->mem.range[i].size / size, &first, &end);) {
			for (uint64_t f = first * size / FRAME_SIZE; f * FRAME_SIZE < end * size;
			     f++) {
				int ret = load_frame(g, i, f, err);

				if (ret < 0)
					return err_context(err, ret, "memory.%u", i);
			}
		}
	}
	for (unsigned i = 0; i < m->mem.nranges; i++) {
		const struct mem_range *r = &m->mem.range[i];

		for (end = 0; next_pages(set[i], r->size / size, &first, &end);) {
			memcpy(r->host + first * size, g->range[i].copy + first * size,
			       (end - first) * size);
			*restored += end - first;
		}
	}
	return 0;
}

/* --- all of it --- */

static int forget_devices(struct machine *m, struct err *err)
{
	for (unsigned i = 0; i < m->ndevices; i++) {
		struct device *dev = m->devices[i];
		int ret = dev->ops->forget != NULL ? dev->ops->forget(dev, err) : 0;

		if (ret < 0)
			return err_context(err, ret, "device %s", dev->id);
	}
	return 0;
}

/* Memory is as it was: a vCPU in PAE mode is given its page directory's pointers from there (KVM's
 * set_sregs). Restoring vCPUs may write to it (KVM's wall clock): those pages are put back, too. */
static int restore_state(struct golden *g, struct golden_reset *did, struct err *err)
{
	struct machine *m = g->machine;
	int ret = forget_devices(m, err);

	if (ret < 0)
		return ret;
	ret = dirty_track_again(&m->dirty, err);
	if (ret < 0)
		return ret;
	ret = staged_apply_chips(&g->staged, m, true, err);
	if (ret < 0)
		return ret;
	ret = restore_pages(g, &did->pages, err);
	if (ret < 0)
		return ret;
	ret = dirty_track_again(&m->dirty, err);
	if (ret < 0)
		return ret;
	ret = staged_apply_devices(&g->staged, err);
	if (ret < 0)
		return ret;
	machine_replaced(m);
	return 0;
}

int golden_reset(struct golden *g, struct golden_reset *did, struct err *err)
{
	struct machine *m = g->machine;
	const uint64_t start = clock_monotonic_ns();
	uint64_t restored;
	int ret;

	assert(m->state == MACHINE_PAUSED);
	*did = (struct golden_reset){0};
	ret = restore_pages(g, &did->pages, err);
	if (ret < 0)
		return ret;
	restored = clock_monotonic_ns();
	ret = restore_state(g, did, err);
	if (ret < 0) {
		ret = err_context(err, ret, "the reset was not completed");
		machine_break(m, err);
		return ret;
	}
	did->memory_ns = restored - start;
	did->state_ns = clock_monotonic_ns() - restored;
	return 0;
}
