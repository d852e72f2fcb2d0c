/* Spreading independent jobs over the cores this process may use (eight at most). */
#ifndef TORPOR_BASE_PARALLEL_H
#define TORPOR_BASE_PARALLEL_H

#include <stdint.h>

#include "base/err.h"

/*
 * Run job(opaque, 0) … job(opaque, jobs - 1), each once, in about that order; the calling thread
 * works too. Helper threads have all signals but SIGBUS blocked and have ended on return. A job
 * fails when it returns a negative number; after that no further one starts. Returns 0, or what the
 * first job that failed returned, with its *err. When no helper can be created the caller does all
 * the work.
 */
int parallel_run(uint64_t jobs, int (*job)(void *opaque, uint64_t index, struct err *err),
		 void *opaque, struct err *err);

/* The cores that this process may use; 1 when the kernel does not say. */
unsigned usable_cores(void);

#endif
