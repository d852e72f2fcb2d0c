/*
 * One way out of the console: standard output or a client's socket. Writing never blocks: what a
 * slow reader does not take waits in a bounded queue, and what does not fit there is lost to this
 * reader (the log has it). The descriptor's own flags are left alone: it may be shared with the
 * user's shell.
 *
 * Machine lock held. Nothing here returns an error: a descriptor that cannot be written to is
 * dropped, and so is output for which there is no memory.
 */
#ifndef TORPOR_INSTANCE_OUTLET_H
#define TORPOR_INSTANCE_OUTLET_H

#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"

#define OUTLET_QUEUE_MAX (1u << 20)

struct outlet {
	struct loop *loop;
	struct loop_watch watch; /* for room, while something waits */
	int fd;			 /* not owned; -1 once it was dropped */
	size_t chunk;	/* a write of this size does not block when poll says there is room */
	uint8_t *queue; /* owned; OUTLET_QUEUE_MAX once used */
	size_t start, len;
};

void outlet_init(struct outlet *o, struct loop *loop, int fd);
void outlet_free(struct outlet *o);
void outlet_write(struct outlet *o, const uint8_t *data, size_t len);
/* The loop is over: write what waits, giving a reader up to `timeout_ms` at each step. */
void outlet_drain(struct outlet *o, int timeout_ms);

#endif
