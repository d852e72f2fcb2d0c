/*
 * Loading in the background what nothing has touched yet; see pager_internal.h.
 *
 * One thread at the lowest priority and one for each core are started when they are first wanted;
 * those of the other mode sleep. They take frames in the order of the extents, which is how they
 * lie in the files. Each fault that is being served takes two cores away from them, until there was
 * none for a millisecond. Even at full speed they have a lower priority than the guest and the
 * fault threads: without that a fault waited several times as long for a busy processor.
 */
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <time.h>

#include "base/num.h"
#include "base/parallel.h"
#include "snapshot/pager_internal.h"

#define FULL_NICE 10
/* One for the thread that serves it, one for the vCPU that waits. */
#define CORES_A_FAULT 2u
/* The idle fill leaves the first moment after a resume to the guest: with a core beside it busy
 * decoding, its first answer took twice as long. */
#define FIRST_MOMENT_MS 500

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

/* Claim the next absent frame; false when there is none left. */
static bool claim_next(struct pager_worker *w, struct pager_frame *f)
{
	struct pager *p = w->pager;

	for (; p->cursor.range < p->nranges; p->cursor.range++, p->cursor.extent = 0) {
		f->range = &p->range[p->cursor.range];
		for (; p->cursor.extent < f->range->extents.n;
		     p->cursor.extent++, p->cursor.frame = 0) {
			const struct layer_extent *extent =
				&f->range->extents.extent[p->cursor.extent];

			while (extent->image != NULL && p->cursor.frame < extent->frames) {
				f->index = extent->frame + p->cursor.frame++;
				if (pager_claim(w, f, FRAME_ABSENT, FRAME_FILLING))
					return true;
			}
		}
	}
	return false;
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
	while (!p->ended &&
	       (p->fill != w->mode || machine_is_broken(p->machine) || !claim_next(w, f)))
		pthread_cond_wait(&p->changed, &p->lock);
	going = !p->ended;
	pthread_mutex_unlock(&p->lock);
	return going;
}

static void fill_frames(struct pager_worker *w)
{
	struct pager_frame f;

	while (next_frame(w, &f)) {
		if (!pager_load_frame(w, &f, FRAME_FILLING))
			continue;
		atomic_fetch_add(&w->pager->filled, 1);
		pager_count_present(w->pager);
	}
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
