/*
 * Limits of a device's queue: so many requests and so many bytes a second (devices/rate.h), and a timer
 * that calls when the next may begin. One thread, or the caller's lock.
 *
 *     rate_gate_open → rate_gate_allows, rate_gate_charge … → rate_gate_close
 */
#ifndef TORPOR_DEVICES_RATE_GATE_H
#define TORPOR_DEVICES_RATE_GATE_H

#include "base/timer.h"
#include "devices/rate.h"

struct rate_gate {
	struct rate requests, bytes;
	struct timer timer; /* TIMER_CLOSED where there is no limit */
};

/* `fn` is called on the loop's thread when rate_gate_allows() may say yes again. Returns what timer_open() gives. */
int rate_gate_open(struct rate_gate *g, uint64_t requests, uint64_t bytes, struct loop *loop,
		   void (*fn)(void *opaque), void *opaque, struct err *err);
/* Whether the next may begin; if not, the timer is set. */
bool rate_gate_allows(struct rate_gate *g);
/* It begins, and costs one request and so many bytes. */
void rate_gate_charge(struct rate_gate *g, uint64_t bytes);
/* Also of one without a limit. */
void rate_gate_close(struct rate_gate *g);

#endif
