/*
 * Serving faults; see pager_internal.h.
 *
 * A few threads read one userfaultfd. A fault on a frame that another fault thread is loading needs
 * nothing: installing the frame wakes all that wait for any of its pages. It also wakes those that
 * began to wait meanwhile, because the kernel looks for the page once more after it has put them
 * onto the list.
 */
#include <errno.h>
#include <poll.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/num.h"
#include "base/parallel.h"
#include "snapshot/pager_internal.h"
#include "snapshot/uffd.h"

static struct pager_frame frame_of(const struct pager *p, const uint8_t *address)
{
	const struct pager_range *r = &p->range[0];

	while (address < r->mem->host || address >= r->mem->host + r->mem->size) {
		r++;
		assert(r < p->range + p->nranges);
	}
	return (struct pager_frame){r, (uint64_t)(address - r->mem->host) / FRAME_SIZE};
}

static void count_fault(struct pager *p, uint64_t ns)
{
	uint64_t max = atomic_load(&p->fault_ns_max);

	atomic_fetch_add(&p->faults, 1);
	atomic_fetch_add(&p->fault_ns_sum, ns);
	while (ns > max && !atomic_compare_exchange_weak(&p->fault_ns_max, &max, ns))
		;
}

static void serve_fault(struct pager_worker *w, const uint8_t *address)
{
	struct pager *p = w->pager;
	struct pager_frame f = frame_of(p, address);
	uint64_t start = clock_monotonic_ns();

	if (pager_turn(pager_state(&f), FRAME_ABSENT, FRAME_BUSY) ||
	    pager_turn(pager_state(&f), FRAME_FILLING, FRAME_BUSY)) {
		/* Each frame is claimed by one fault thread once: there is room for all. */
		if (p->touched != NULL)
			p->touched[atomic_fetch_add(&p->ntouched, 1)] =
				(struct pager_touch){(unsigned)(f.range - p->range), f.index};
		if (pager_load_frame(w, &f, FRAME_BUSY)) {
			count_fault(p, w->put_ns - start);
			pager_count_present(p);
		}
	} else if (atomic_load(pager_state(&f)) != FRAME_BUSY) {
		/* Zero from the start, or discarded, or damaged; or it was installed meanwhile. */
		pager_put_zeros(p, &f);
	}
}

static void serve_faults(struct pager_worker *w)
{
	struct pager *p = w->pager;
	struct pollfd fds[] = {{.fd = p->uffd, .events = POLLIN},
			       {.fd = p->end_fd, .events = POLLIN}};
	uint8_t *address;

	/* Load libraries while the machine is still being built. An error occurs again with the
	 * first frame. */
	(void)frame_reader_prepare(w->reader, NULL);
	while (poll(fds, ARRAY_SIZE(fds), -1) >= 0 && fds[1].revents == 0) {
		while (uffd_next(p->uffd, &address)) {
			atomic_fetch_add(&p->faults_served_now, 1);
			serve_fault(w, address);
			atomic_fetch_sub(&p->faults_served_now, 1);
		}
	}
}

int pager_faults_start(struct pager *p, struct err *err)
{
	uint64_t wanted = p->arrivals != NULL ? p->machine->nvcpus + 2u
					      : u64_min(usable_cores(), PAGER_FAULT_THREADS);

	while (p->nfault_threads < wanted) {
		int ret = pager_worker_start(&p->fault_thread[p->nfault_threads], p, serve_faults,
					     "pager fault", err);

		if (ret < 0)
			return ret;
		p->nfault_threads++;
	}
	return 0;
}
