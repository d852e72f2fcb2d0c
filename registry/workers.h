/* Several transfers at a time, each on connections of its own. */
#ifndef TORPOR_REGISTRY_WORKERS_H
#define TORPOR_REGISTRY_WORKERS_H

#include "registry/session.h"

#define WORKERS_USUAL 4u
#define WORKERS_MOST  16u

/*
 * Run job(opaque, http, 0) … job(opaque, http, jobs - 1), each once, begun in this order, at most
 * `most` (WORKERS_MOST) at a time. `own` may be a connection of the caller, which one of them uses
 * meanwhile, or NULL. The
 * first that fails cancels the progress of the session, so that the others end, and its error is
 * the error of all. The calling thread waits, and gets all signals. Returns 0, what that job
 * returned, or what registry_http() gives.
 */
int workers_run(struct registry *r, struct http *own, unsigned most, size_t jobs,
		int (*job)(void *opaque, struct http *http, size_t index, struct err *err),
		void *opaque, struct err *err);

#endif
