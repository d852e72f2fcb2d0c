/*
 * Loading in the background what nothing has touched yet; see pager_internal.h.
 *
 * One thread at the lowest priority and one for each core are started when they are first wanted;
 * those of the other mode sleep. They take frames in the order of the extents, which is how they
 * lie in the files. Each fault that is being served takes two cores away from them, until there was
 * none for a millisecond. Of a file that is still arriving they take what is there, so that the
 * order stays that of the download. Even at full speed they have a lower priority than the guest and the
 * fault threads: without that a fault waited several times as long for a busy processor.
 */
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <time.h>

#include "base/arrival.h"
#include "base/num.h"
#include "base/parallel.h"
#include "snapshot/pager_internal.h"

#define FULL_NICE 10
/* One for the thread that serves it, one for the vCPU that waits. */
#define CORES_A_FAULT 2u
/* The idle fill leaves the first moment after a resume to the guest: with a core beside it busy
 * decoding, its first answer took twice as long. */
#define FIRST_MOMENT_MS 500
/* So often, at most, it looks through all frames for those that have arrived. */
#define ARRIVALS_MS 50

/* A vCPU that has just got a frame is about to wait for the next one. */
static bool guest_is_waiting(struct pager_worker *w)
{
	uint64_t served = atomic_load(&w->pager->faults);
	unsigned waiting = atomic_load(&w->pager->faults_served_now);

	if (waiting == 0 && served != w->served)
		waiting = 1;
	w->served = served;
	return waiting * CORES_A_FAULT > w->rank;
}

static bool has_arrived(const struct pager *p, const struct layer_extent *extent, uint64_t frame)
{
	return p->arrivals == NULL || image_frame_is_there(extent->image, extent->place + frame);
}

/* Claim the next absent frame; false when there is none left. Those that have not arrived are
 * passed over: what comes first is for the faults to say. */
static bool claim_next(struct pager *p, struct pager_frame *f)
{
	for (; p->cursor.range < p->nranges; p->cursor.range++, p->cursor.extent = 0) {
		f->range = &p->range[p->cursor.range];
		for (; p->cursor.extent < f->range->extents.n;
		     p->cursor.extent++, p->cursor.frame = 0) {
			const struct layer_extent *extent =
				&f->range->extents.extent[p->cursor.extent];

			while (extent->image != NULL && p->cursor.frame < extent->frames) {
				const uint64_t frame = p->cursor.frame++;

				f->index = extent->frame + frame;
				if (atomic_load(pager_state(f)) != FRAME_ABSENT)
					continue;
				if (!has_arrived(p, extent, frame))
					p->passed_over = true;
				else if (pager_turn(pager_state(f), FRAME_ABSENT, FRAME_FILLING))
					return true;
			}
		}
	}
	return false;
}

/* All that is there is claimed, and more will come: from the start again. With p->lock, which is
 * left meanwhile. */
static void await_arrivals(struct pager_worker *w)
{
	static const struct timespec pause = {.tv_nsec = ARRIVALS_MS * 1000000};
	struct pager *p = w->pager;

	pthread_mutex_unlock(&p->lock);
	nanosleep(&pause, NULL);
	arrivals_await_change(p->arrivals, &w->generation);
	pthread_mutex_lock(&p->lock);
	p->cursor.range = 0;
	p->cursor.extent = 0;
	p->cursor.frame = 0;
	p->passed_over = false;
}

/* Wait until there is something to do; false when it is all over. */
static bool next_frame(struct pager_worker *w, struct pager_frame *f)
{
	static const struct timespec moment = {.tv_nsec = 1000000};
	struct pager *p = w->pager;
	bool going;

	while (guest_is_waiting(w))
		nanosleep(&moment, NULL);
	pthread_mutex_lock(&p->lock);
	while (!p->ended && (p->held || p->fill != w->mode || machine_is_broken(p->machine) ||
			     !claim_next(p, f))) {
		if (!p->held && p->passed_over && p->fill == w->mode &&
		    !machine_is_broken(p->machine))
			await_arrivals(w);
		else
			pthread_cond_wait(&p->changed, &p->lock);
	}
	going = !p->ended;
	if (going)
		p->filling++;
	pthread_mutex_unlock(&p->lock);
	return going;
}

/* Load a frame that was claimed, and is counted in p->filling. */
static void fill_frame(struct pager_worker *w, const struct pager_frame *f)
{
	struct pager *p = w->pager;

	if (pager_load_frame(w, f, FRAME_FILLING)) {
		atomic_fetch_add(&p->filled, 1);
		pager_count_present(p);
	}
	pthread_mutex_lock(&p->lock);
	p->filling--;
	if (p->held)
		pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

static void fill_frames(struct pager_worker *w)
{
	struct pager_frame f;

	while (next_frame(w, &f))
		fill_frame(w, &f);
}

static void fill_idly(struct pager_worker *w)
{
	static const struct sched_param none = {0};
	struct pollfd over = {.fd = w->pager->end_fd, .events = POLLIN};

	(void)sched_setscheduler(0, SCHED_IDLE, &none); /* this thread only */
	(void)poll(&over, 1, FIRST_MOMENT_MS);
	fill_frames(w);
}

static void fill_fully(struct pager_worker *w)
{
	(void)setpriority(PRIO_PROCESS, 0, FULL_NICE); /* this thread only: Linux */
	fill_frames(w);
}

/* Claim this frame, if it is still absent, for fill_frame(). */
static bool claim_hot(struct pager *p, const struct pager_frame *f)
{
	bool claimed;

	pthread_mutex_lock(&p->lock);
	while (p->held && !p->ended)
		pthread_cond_wait(&p->changed, &p->lock);
	claimed = !p->ended && pager_turn(pager_state(f), FRAME_ABSENT, FRAME_FILLING);
	if (claimed)
		p->filling++;
	pthread_mutex_unlock(&p->lock);
	return claimed;
}

/* The frames of a hot set in its order, each as soon as it is there: the download fetches that
 * first, and the guest is about to touch them. */
static void fill_hot(struct pager_worker *w)
{
	struct pager *p = w->pager;

	(void)setpriority(PRIO_PROCESS, 0, FULL_NICE); /* this thread only: Linux */
	for (unsigned i = 0; i < p->nranges; i++) {
		struct pager_frame f = {.range = &p->range[i]};
		const struct image *image = f.range->hot;

		for (uint64_t n = 0; image != NULL && n < image->hot.len / FRAME_SIZE; n++) {
			f.index = image_map_frame_at(&image->map, image->hot_place[n]);
			if (atomic_load(&p->over) || machine_is_broken(p->machine))
				return;
			if (layer_extents_find(&f.range->extents, f.index)->image == image &&
			    claim_hot(p, &f))
				fill_frame(w, &f);
		}
	}
}

int pager_hot_start(struct pager *p, struct err *err)
{
	bool any = false;
	int ret;

	for (unsigned i = 0; i < p->nranges; i++)
		any = any || p->range[i].hot != NULL;
	if (!any)
		return 0;
	ret = pager_worker_start(&p->hot_thread[0], p, fill_hot, "pager hot", err);
	if (ret == 0)
		p->nhot_threads = 1;
	return ret;
}

static int start_idle(struct pager *p, struct err *err)
{
	int ret;

	if (p->nidle_threads > 0)
		return 0;
	p->idle_thread[0].mode = PAGER_FILL_IDLE;
	ret = pager_worker_start(&p->idle_thread[0], p, fill_idly, "pager idle", err);
	if (ret < 0)
		return ret;
	p->nidle_threads = 1;
	return 0;
}

static int start_full(struct pager *p, struct err *err)
{
	unsigned wanted = (unsigned)u64_min(usable_cores(), PAGER_MAX_FULL_THREADS);

	while (p->nfull_threads < wanted) {
		struct pager_worker *w = &p->full_thread[p->nfull_threads];
		int ret;

		w->mode = PAGER_FILL_FULL;
		w->rank = p->nfull_threads;
		ret = pager_worker_start(w, p, fill_fully, "pager fill", err);
		if (ret < 0)
			return ret;
		p->nfull_threads++;
	}
	return 0;
}

int pager_fill_start(struct pager *p, enum pager_fill fill, struct err *err)
{
	if (fill == PAGER_FILL_IDLE)
		return start_idle(p, err);
	return fill == PAGER_FILL_FULL ? start_full(p, err) : 0;
}
