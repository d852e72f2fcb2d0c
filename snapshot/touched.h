/*
 * Which frames of its file a machine has touched since it was resumed, the first ones first: its
 * hot set.
 */
#ifndef TORPOR_SNAPSHOT_TOUCHED_H
#define TORPOR_SNAPSHOT_TOUCHED_H

#include "snapshot/pager.h"

struct touched {
	struct pager_touch *frame; /* owned: free() */
	size_t n;
};

/* Can a pager note the order? If not (`why` says so), resume from a flat file: then the kernel's
 * page tables tell what was touched, though not in which order. */
bool touched_in_order(struct err *why);

/* Machine paused or ended. `pager` noted it (pager_record), or is NULL and all memory was mapped.
 * Returns 0, -ENOMEM, or the errno of reading /proc/self/pagemap. */
int touched_collect(const struct machine *m, const struct pager *pager, struct touched *touched,
		    struct err *err);

#endif
