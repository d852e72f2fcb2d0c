/* See reset.h. */
#include "snapshot/reset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/array.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/num.h"
#include "base/parallel.h"
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

struct golden_frame {
	unsigned range;
	uint64_t frame;
};

/* Frames that are to be loaded, in their order. */
struct golden_loads {
	struct golden *golden;
	struct golden_frame *frame; /* owned */
	size_t n;
};

/* Unless it is there, or zero, as the copy is then. */
static int add_load(struct golden_loads *loads, unsigned range, uint64_t frame, struct err *err)
{
	struct golden_range *r = &loads->golden->range[range];
	const struct golden_frame *last = loads->n > 0 ? &loads->frame[loads->n - 1] : NULL;
	struct golden_frame *grown;

	if (frameset_has(r->loaded, frame) ||
	    (last != NULL && last->range == range && last->frame == frame))
		return 0;
	if (layer_extents_find(&r->extents, frame)->image == NULL) {
		frameset_add(r->loaded, frame);
		return 0;
	}
	grown = array_grow(loads->frame, loads->n, sizeof(*grown));
	if (grown == NULL)
		return err_sys(err, ENOMEM, "keep what memory was");
	loads->frame = grown;
	loads->frame[loads->n++] = (struct golden_frame){range, frame};
	return 0;
}

/* Those that the tracked pages are of. */
static int list_loads(struct golden_loads *loads, const uint64_t *const *set, struct err *err)
{
	const struct mem *mem = &loads->golden->machine->mem;
	const uint64_t size = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t first, end;

	for (unsigned i = 0; i < mem->nranges; i++) {
		for (end = 0; next_pages(set[i], mem->range[i].size / size, &first, &end);) {
			for (uint64_t f = first * size / FRAME_SIZE; f * FRAME_SIZE < end * size;
			     f++) {
				int ret = add_load(loads, i, f, err);

				if (ret < 0)
					return ret;
			}
		}
	}
	return 0;
}

/* On any thread. */
static int load_frame(void *opaque, uint64_t index, struct err *err)
{
	const struct golden_loads *loads = opaque;
	const struct golden_frame *f = &loads->frame[index];
	struct golden_range *r = &loads->golden->range[f->range];
	const struct layer_extent *extent = layer_extents_find(&r->extents, f->frame);
	int ret = frame_readers_read(&loads->golden->readers, extent->image,
				     extent->place + (f->frame - extent->frame),
				     r->copy + f->frame * FRAME_SIZE, err);

	return ret < 0 ? err_context(err, ret, "memory.%u", f->range) : 0;
}

/* Each is read, decoded and checked, which takes all cores. */
static int load_frames(struct golden_loads *loads, struct err *err)
{
	struct golden *g = loads->golden;
	int ret = parallel_run(loads->n, load_frame, loads, err);

	for (size_t i = 0; ret >= 0 && i < loads->n; i++)
		frameset_add(g->range[loads->frame[i].range].loaded, loads->frame[i].frame);
	g->frames += ret >= 0 ? loads->n : 0;
	return ret;
}

static int load_pages(struct golden *g, const uint64_t *const *set, struct err *err)
{
	struct golden_loads loads = {.golden = g};
	int ret = list_loads(&loads, set, err);

	if (ret >= 0 && loads.n > 0)
		ret = load_frames(&loads, err);
	free(loads.frame);
	return ret;
}

/* A page that is as it was is only read. KVM may map a page that the guest reads so that it can be
 * written, and notes it then (Linux, make_spte()): so the first reset finds the guest's code among
 * what it has touched since it woke, and a store to code costs an emulated CPU milliseconds. */
static void restore_run(uint8_t *host, const uint8_t *copy, uint64_t len, uint64_t size)
{
	for (uint64_t at = 0; at < len; at += size) {
		if (memcmp(host + at, copy + at, size) != 0)
			memcpy(host + at, copy + at, size);
	}
}

/* Everything is loaded before anything is put back: a file that cannot be read changes nothing. */
static int restore_pages(struct golden *g, uint64_t *restored, struct err *err)
{
	struct machine *m = g->machine;
	const uint64_t size = (uint64_t)sysconf(_SC_PAGESIZE);
	const uint64_t *set[MEM_MAX_RANGES];
	uint64_t first, end;
	int ret;

	for (unsigned i = 0; i < m->mem.nranges; i++)
		set[i] = dirty_tracked(&m->dirty, i);
	ret = load_pages(g, set, err);
	if (ret < 0)
		return ret;
	for (unsigned i = 0; i < m->mem.nranges; i++) {
		const struct mem_range *r = &m->mem.range[i];

		for (end = 0; next_pages(set[i], r->size / size, &first, &end);) {
			restore_run(r->host + first * size, g->range[i].copy + first * size,
				    (end - first) * size, size);
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
