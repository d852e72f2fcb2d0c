/* The life of a pager; see pager.h and, for what its files share, pager_internal.h. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/array.h"
#include "base/arrival.h"
#include "base/num.h"
#include "snapshot/pager_internal.h"
#include "snapshot/uffd.h"

/* To the kernel each span is a mapping of its own. Beyond this many, zero frames are registered
 * too, which joins the spans around them. */
#define MAX_SPANS 4096u

static int pager_range_init(struct pager_range *r, struct err *err)
{
	if (r->extents.size != r->mem->size)
		return err_set(err, ERR_INTEGRITY, "%llu bytes, but the machine has %llu there",
			       (unsigned long long)r->extents.size,
			       (unsigned long long)r->mem->size);
	r->state = malloc(r->mem->size / FRAME_SIZE * sizeof(r->state[0]));
	if (r->state == NULL)
		return err_sys(err, ENOMEM, "page memory in");
	for (size_t i = 0; i < r->extents.n; i++) {
		const struct layer_extent *extent = &r->extents.extent[i];

		for (uint64_t frame = 0; frame < extent->frames; frame++)
			atomic_init(&r->state[extent->frame + frame],
				    extent->image != NULL ? FRAME_ABSENT : FRAME_PRESENT);
	}
	return 0;
}

/* What of it is still arriving, and a hot set with that. */
static void find_arrivals(struct pager *p, struct pager_range *r)
{
	for (size_t i = 0; i < r->extents.n; i++) {
		const struct image *image = r->extents.extent[i].image;

		if (image == NULL || !image->checked)
			continue;
		if (image->part[0].arrival != NULL)
			p->arrivals = arrival_set(image->part[0].arrival);
		if (image->hot_place != NULL)
			r->hot = image;
	}
}

static int pager_init(struct pager *p, struct err *err)
{
	for (unsigned i = 0; i < p->nranges; i++) {
		int ret = pager_range_init(&p->range[i], err);

		if (ret < 0)
			return ret;
		find_arrivals(p, &p->range[i]);
		atomic_fetch_add(&p->absent, layer_extents_data_frames(&p->range[i].extents));
	}
	p->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return p->end_fd < 0 ? err_sys(err, errno, "eventfd") : uffd_open(&p->uffd, err);
}

int pager_new(struct pager **out, struct machine *m, struct layer_extents *extents, struct err *err)
{
	struct pager *p = calloc(1, sizeof(*p));
	int ret;

	*out = NULL;
	if (p == NULL) {
		for (unsigned i = 0; i < m->mem.nranges; i++)
			layer_extents_free(&extents[i]);
		return err_sys(err, ENOMEM, "page memory in");
	}
	p->machine = m;
	p->uffd = p->end_fd = -1;
	p->nranges = m->mem.nranges;
	for (unsigned i = 0; i < p->nranges; i++) {
		p->range[i].mem = &m->mem.range[i];
		p->range[i].extents = extents[i];
		extents[i] = (struct layer_extents){0};
	}
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->changed, NULL);
	ret = pager_init(p, err);
	if (ret < 0) {
		pager_stop(p);
		return ret;
	}
	*out = p;
	return 0;
}

void pager_mark_present(struct pager *p, unsigned range, uint64_t frame)
{
	if (pager_turn(&p->range[range].state[frame], FRAME_ABSENT, FRAME_PRESENT))
		atomic_fetch_sub(&p->absent, 1);
}

int pager_record(struct pager *p, struct err *err)
{
	p->touched = calloc(atomic_load(&p->absent) + 1, sizeof(p->touched[0]));
	return p->touched != NULL ? 0 : err_sys(err, ENOMEM, "note what is touched");
}

size_t pager_touched(const struct pager *p, const struct pager_touch **touched)
{
	*touched = p->touched;
	return atomic_load(&p->ntouched);
}

static int add_to_spans(struct pager *p, uint8_t *host, struct err *err)
{
	struct pager_span *last = p->nspans > 0 ? &p->span[p->nspans - 1] : NULL;
	struct pager_span *grown;

	if (last != NULL && last->host + last->len == host) {
		last->len += FRAME_SIZE;
		return 0;
	}
	grown = array_grow(p->span, p->nspans, sizeof(*grown));
	if (grown == NULL)
		return err_sys(err, ENOMEM, "page memory in");
	p->span = grown;
	p->span[p->nspans++] = (struct pager_span){.host = host, .len = FRAME_SIZE};
	return 0;
}

/* The absent frames, and the zero ones if `zeros`. Never those that were present before: they may
 * be mapped from a file, which cannot be registered. */
static int plan_spans(struct pager *p, bool zeros, struct err *err)
{
	p->nspans = 0;
	for (unsigned i = 0; i < p->nranges; i++) {
		const struct pager_range *r = &p->range[i];
		const struct layer_extent *extent = r->extents.extent;

		for (uint64_t frame = 0; frame < r->mem->size / FRAME_SIZE; frame++) {
			int ret;

			if (frame == extent->frame + extent->frames)
				extent++;
			if (!(extent->image == NULL ? zeros : r->state[frame] == FRAME_ABSENT))
				continue;
			ret = add_to_spans(p, r->mem->host + frame * FRAME_SIZE, err);
			if (ret < 0)
				return ret;
		}
	}
	return 0;
}

static int register_spans(struct pager *p, struct err *err)
{
	int ret = plan_spans(p, false, err);

	if (ret == 0 && p->nspans > MAX_SPANS)
		ret = plan_spans(p, true, err);
	if (ret < 0)
		return ret;
	for (size_t i = 0; i < p->nspans; i++) {
		ret = uffd_register(p->uffd, p->span[i].host, p->span[i].len, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* Tell the threads to end; does not wait for them. */
static void pager_end(struct pager *p)
{
	pthread_mutex_lock(&p->lock);
	p->ended = true;
	atomic_store(&p->over, true);
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	(void)eventfd_write(p->end_fd, 1);
}

/* After the last frame nothing is missing. A span that the kernel keeps registered is served as
 * before, by the threads. */
void pager_count_present(struct pager *p)
{
	if (atomic_fetch_sub(&p->absent, 1) != 1)
		return;
	for (size_t i = 0; i < p->nspans; i++) {
		if (uffd_unregister(p->uffd, p->span[i].host, p->span[i].len) < 0)
			return;
	}
	pager_end(p);
}

static void wait_for_worker(const struct pager_worker *w, const atomic_uchar *state)
{
	static const struct timespec moment = {.tv_nsec = 20000};

	while (atomic_load(&w->at) == state)
		nanosleep(&moment, NULL);
}

/* On return each thread that had claimed this frame has installed it, or has given it up. */
static void wait_for_workers(const struct pager *p, const atomic_uchar *state)
{
	for (unsigned i = 0; i < p->nfault_threads; i++)
		wait_for_worker(&p->fault_thread[i], state);
	for (unsigned i = 0; i < p->nhot_threads; i++)
		wait_for_worker(&p->hot_thread[i], state);
	for (unsigned i = 0; i < p->nidle_threads; i++)
		wait_for_worker(&p->idle_thread[i], state);
	for (unsigned i = 0; i < p->nfull_threads; i++)
		wait_for_worker(&p->full_thread[i], state);
}

/* Called by mem_discard() before the pages go. On return no thread will install anything there. */
static void pager_on_discard(void *opaque, unsigned range, uint64_t offset, uint64_t len)
{
	struct pager *p = opaque;
	struct pager_frame f = {.range = &p->range[range]};

	for (f.index = offset / FRAME_SIZE; f.index * FRAME_SIZE < offset + len; f.index++) {
		uint64_t start = f.index * FRAME_SIZE;

		if (offset > start || start + FRAME_SIZE > offset + len) {
			/* The rest of the frame is still wanted: a touch loads it. */
			(void)*(volatile uint8_t *)pager_host(&f);
		} else if (atomic_exchange(pager_state(&f), FRAME_PRESENT) < FRAME_PRESENT) {
			pager_count_present(p);
		}
		wait_for_workers(p, pager_state(&f));
	}
}

int pager_start(struct pager *p, enum pager_fill fill, struct err *err)
{
	int ret;

	p->frames = atomic_load(&p->absent);
	p->fill = fill;
	if (p->frames == 0) {
		p->ended = true;
		return 0;
	}
	p->machine->mem.discarded = pager_on_discard;
	p->machine->mem.discarded_opaque = p;
	ret = register_spans(p, err);
	if (ret < 0)
		return ret;
	ret = pager_faults_start(p, err);
	if (ret < 0)
		return ret;
	ret = pager_hot_start(p, err);
	return ret < 0 ? ret : pager_set_fill(p, fill, err);
}

int pager_set_fill(struct pager *p, enum pager_fill fill, struct err *err)
{
	int ret = pager_fill_start(p, fill, err);

	if (ret < 0)
		return ret;
	pthread_mutex_lock(&p->lock);
	p->fill = fill;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	return 0;
}

void pager_hold(struct pager *p)
{
	pthread_mutex_lock(&p->lock);
	p->held = true;
	while (p->filling > 0)
		pthread_cond_wait(&p->changed, &p->lock);
	pthread_mutex_unlock(&p->lock);
}

void pager_release(struct pager *p)
{
	pthread_mutex_lock(&p->lock);
	p->held = false;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

void pager_settle(const struct pager *p)
{
	static const struct timespec moment = {.tv_nsec = 20000};

	while (atomic_load(&p->faults_served_now) > 0)
		nanosleep(&moment, NULL);
}

void pager_copied(struct pager *p)
{
	for (unsigned i = 0; i < p->nranges; i++) {
		struct pager_frame f = {.range = &p->range[i]};

		for (; f.index < f.range->mem->size / FRAME_SIZE; f.index++) {
			if (!pager_turn(pager_state(&f), FRAME_BUSY, FRAME_ABSENT))
				pager_turn(pager_state(&f), FRAME_FILLING, FRAME_ABSENT);
		}
	}
}

void pager_stats(struct pager *p, struct pager_stats *stats)
{
	*stats = (struct pager_stats){
		.frames = p->frames,
		.present = p->frames - atomic_load(&p->absent),
		.faults = atomic_load(&p->faults),
		.filled = atomic_load(&p->filled),
		.fault_ns_max = atomic_load(&p->fault_ns_max),
		.fault_ns_sum = atomic_load(&p->fault_ns_sum),
	};
	pthread_mutex_lock(&p->lock);
	stats->fill = p->fill;
	pthread_mutex_unlock(&p->lock);
}

bool pager_is_absent(const struct pager *p, unsigned range, uint64_t frame)
{
	unsigned char state = atomic_load(&p->range[range].state[frame]);

	return state == FRAME_ABSENT || state == FRAME_DAMAGED;
}

const struct layer_extents *pager_extents(const struct pager *p, unsigned range)
{
	return &p->range[range].extents;
}

void pager_give_up(struct pager *p)
{
	if (p->arrivals != NULL)
		arrivals_interrupt(p->arrivals);
}

void pager_stop(struct pager *p)
{
	if (p == NULL)
		return;
	p->machine->mem.discarded = NULL;
	pager_end(p);
	pager_give_up(p);
	for (unsigned i = 0; i < p->nfault_threads; i++)
		pager_worker_join(&p->fault_thread[i]);
	for (unsigned i = 0; i < p->nhot_threads; i++)
		pager_worker_join(&p->hot_thread[i]);
	for (unsigned i = 0; i < p->nidle_threads; i++)
		pager_worker_join(&p->idle_thread[i]);
	for (unsigned i = 0; i < p->nfull_threads; i++)
		pager_worker_join(&p->full_thread[i]);
	if (p->uffd >= 0)
		close(p->uffd);
	if (p->end_fd >= 0)
		close(p->end_fd);
	for (unsigned i = 0; i < p->nranges; i++) {
		layer_extents_free(&p->range[i].extents);
		free(p->range[i].state);
	}
	free(p->span);
	free(p->touched);
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->changed);
	free(p);
}
