/*
 * A one-shot alarm on a machine's loop: its callback runs there, machine lock held. Setting it
 * again puts the old time out of force.
 */
#ifndef TORPOR_BASE_TIMER_H
#define TORPOR_BASE_TIMER_H

#include "base/loop.h"

struct timer {
	struct loop *loop;
	struct loop_watch watch;
	int fd; /* a timerfd; -1 before timer_open() */
	void (*fn)(void *opaque);
	void *opaque;
};

#define TIMER_CLOSED                                                                               \
	(struct timer)                                                                             \
	{                                                                                          \
		.fd = -1, .watch = {.fd = -1 }                                                     \
	}

/* Over TIMER_CLOSED. */
int timer_open(struct timer *t, struct loop *loop, void (*fn)(void *opaque), void *opaque,
	       struct err *err);
void timer_close(struct timer *t);
/* From now; 0: not any more. */
void timer_set(struct timer *t, unsigned milliseconds);

#endif
