/*
 * Telling that the other side is waited for: a thread that calls back while something lasts.
 *
 *     waits_begin → … → waits_end, on one thread
 */
#ifndef TORPOR_WIRE_WAITS_H
#define TORPOR_WIRE_WAITS_H

#include "wire/wire.h"

struct waits;

/* `progress` and `host` are borrowed. NULL: there is nobody to tell, or no thread for it. */
struct waits *waits_begin(const struct wire_options *options, const struct progress *progress,
			  const char *host);
/* The thread has ended when it returns. NULL is fine. */
void waits_end(struct waits *w);

#endif
