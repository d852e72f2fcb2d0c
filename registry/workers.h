/* Several transfers at a time, each on connections of its own. */
#ifndef TORPOR_REGISTRY_WORKERS_H
#define TORPOR_REGISTRY_WORKERS_H

#include "registry/session.h"

/*
 * Run job(opaque, http, 0) … job(opaque, http, jobs - 1), each once, at most four at a time. The
 * first that fails cancels the progress of the session, so that the others end, and its error is
 * the error of all. The calling thread waits, and gets all signals. Returns 0, what that job
 * returned, or what registry_http() gives.
 */
int workers_run(struct registry *r, size_t jobs,
		int (*job)(void *opaque, struct http *http, size_t index, struct err *err),
		void *opaque, struct err *err);

#endif
