/*
 * Connections for what is fetched before a guest runs: many, for a short time, because each small
 * blob costs a round trip and little else. The first are made while the manifest is on its way
 * (each asks for the registry's /v2/, whatever that answers), so that connecting costs no round
 * trip more.
 *
 *     pool_start → pool_run … → pool_end
 *
 * One thread calls these, and takes part in the work.
 */
#ifndef TORPOR_WIRE_POOL_H
#define TORPOR_WIRE_POOL_H

#include <stddef.h>

#include "registry/session.h"

struct pool;

/* Connect to the registry, whatever comes of that: what fails now may not later, and says so then. */
void pool_connect(const struct registry *r, struct http *http);

/* `progress` is that of the session: calls under way end when it is cancelled. `early`: connect now, to
 * a registry. Returns 0 or -ENOMEM. */
int pool_start(struct pool **out, struct registry *r, struct progress *progress, bool early,
	       struct err *err);
/* job(opaque, http, 0) … job(opaque, http, jobs - 1), each once, begun in this order; the caller's
 * own connection is among those that are used. Returns 0 or what the first that failed gave; the
 * progress is cancelled then. */
int pool_run(struct pool *p, struct http *own, size_t jobs,
	     int (*job)(void *opaque, struct http *http, size_t index, struct err *err),
	     void *opaque, struct err *err);
/* The threads have ended when it returns. NULL is fine. The progress may be cancelled by it. */
void pool_end(struct pool *p);

#endif
