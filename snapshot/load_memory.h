/*
 * Loading the contents of RAM from a file into a machine's ranges, by whichever way is the
 * cheapest:
 *
 *   mapped   flat frames at page boundaries, and the hot set: a private mapping of the file, shared
 *            by all machines resumed from it, at no cost per byte;
 *   paged    all others arrive when they are touched, or in the background (pager.h); so do all
 *            of a file that is still arriving (image.checked), whose frames are compared first;
 *   decoded  where the kernel gives us no userfaultfd: all of them now, on all cores.
 */
#ifndef TORPOR_SNAPSHOT_LOAD_MEMORY_H
#define TORPOR_SNAPSHOT_LOAD_MEMORY_H

#include "format/chain.h"
#include "snapshot/pager.h"
#include "vmm/machine.h"

struct load_params {
	/* Must stay open as long as the machine lives; verified (chain_ensure_verified). */
	const struct chain *chain;
	enum pager_fill fill;
	/* Page everything, also what could be mapped, and note in which order (pager_touched). It
	 * is an error when that is not possible. */
	bool record;
};

/* How the memory was loaded, for a message to the user. */
struct load_report {
	/* Owned by the caller: pager_stop() when the vCPUs are gone, before machine_free(). NULL
	 * when all memory is in place. */
	struct pager *pager;
	uint64_t unaligned; /* bytes of flat frames that could not be mapped */
	uint64_t decoded;   /* bytes that had to be loaded before the start */
	struct err why;	    /* of `decoded`: why there is no userfaultfd */
};

/* No vCPU runs yet and nothing has touched the memory. `report` is zeros; report->pager may be set
 * also after an error.
 *
 * Returns 0; ERR_INTEGRITY (an image has another size than the range, or is damaged);
 * ERR_INCOMPATIBLE (`record`, and there is no userfaultfd); -ENOMEM; or the errno of mmap(2),
 * read(2), pthread_create(3) or an ioctl of userfaultfd. */
int load_memory(struct machine *m, const struct load_params *params, struct load_report *report,
		struct err *err);

#endif
