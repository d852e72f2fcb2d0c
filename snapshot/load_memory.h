/*
 * Bringing the contents of RAM from a file to a machine's ranges, by whichever way is the cheapest:
 *
 *   mapped   flat frames at page boundaries, and the hot set: a private mapping of the file, shared
 *            by all machines that woke from it, at no cost per byte;
 *   paged    all others arrive when they are touched, or in the background (pager.h);
 *   decoded  where the kernel gives us no userfaultfd: all of them now, on all cores.
 */
#ifndef TORPOR_SNAPSHOT_LOAD_MEMORY_H
#define TORPOR_SNAPSHOT_LOAD_MEMORY_H

#include "snapshot/resume.h"

/* Nothing runs yet, nothing has touched the memory. */
int load_memory(struct machine *m, const struct resume_params *params, struct resume_report *report,
		struct err *err);

#endif
