/* The threads of a pager and how one of them loads a frame; see pager_internal.h. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "snapshot/pager_internal.h"
#include "snapshot/uffd.h"

static void worker_free(struct pager_worker *w)
{
	frame_reader_free(w->reader);
	free(w->data);
}

static void *pager_worker_main(void *arg)
{
	struct pager_worker *w = arg;

	pthread_setname_np(pthread_self(), w->name);
	w->work(w);
	return NULL;
}

int pager_worker_start(struct pager_worker *w, struct pager *p,
		       void (*work)(struct pager_worker *w), const char *name, struct err *err)
{
	sigset_t all, old;
	int ret = frame_reader_new(&w->reader, err);

	if (ret < 0)
		return ret;
	w->pager = p;
	w->work = work;
	w->name = name;
	w->data = aligned_alloc((size_t)sysconf(_SC_PAGESIZE), FRAME_SIZE);
	if (w->data == NULL) {
		worker_free(w);
		return err_sys(err, ENOMEM, "start a thread of the pager");
	}
	/* Signals meant for the program belong to the loop thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = pthread_create(&w->thread, NULL, pager_worker_main, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (ret == 0)
		return 0;
	worker_free(w);
	return err_sys(err, ret, "start a thread of the pager");
}

void pager_worker_join(struct pager_worker *w)
{
	pthread_join(w->thread, NULL);
	worker_free(w);
}

static int install_frame(struct pager_worker *w, const struct pager_frame *f, struct err *err)
{
	int ret = uffd_copy(w->pager->uffd, pager_host(f), w->data, FRAME_SIZE);

	if (ret < 0)
		return err_sys(err, -ret, "put a frame into memory");
	w->put_ns = clock_monotonic_ns();
	uffd_wake(w->pager->uffd, pager_host(f), FRAME_SIZE);
	return 0;
}

void pager_put_zeros(struct pager *p, const struct pager_frame *f)
{
	(void)uffd_copy(p->uffd, pager_host(f), NULL, FRAME_SIZE);
	uffd_wake(p->uffd, pager_host(f), FRAME_SIZE);
}

bool pager_load_frame(struct pager_worker *w, const struct pager_frame *f, enum frame_state claimed)
{
	const struct layer_extent *extent = layer_extents_find(&f->range->extents, f->index);
	bool loaded = false;
	struct err err = {0};
	int ret = frame_read(w->reader, extent->image, extent->place + (f->index - extent->frame),
			     w->data, &err);

	/* First: a discard changes the frame's state, and only then looks here. */
	atomic_store(&w->at, pager_state(f));
	if (atomic_load(pager_state(f)) == claimed) {
		if (ret == 0)
			ret = install_frame(w, f, &err);
		if (ret == 0) {
			loaded = pager_turn(pager_state(f), claimed, FRAME_PRESENT);
		} else {
			/* The waiters go on with zeros, but only when no vCPU can execute another
			 * instruction. A device or a system call may see the zeros, in a machine
			 * that will neither run nor be saved. */
			machine_break(w->pager->machine, &err);
			pager_turn(pager_state(f), claimed, FRAME_DAMAGED);
			pager_put_zeros(w->pager, f);
		}
	} else if (claimed == FRAME_BUSY) {
		/* Discarded meanwhile: whoever waits for it sees what it is now. */
		pager_put_zeros(w->pager, f);
	}
	atomic_store(&w->at, NULL);
	return loaded;
}
