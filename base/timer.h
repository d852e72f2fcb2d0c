/*
 * A one-shot timer on a loop: its callback runs there, the loop's lock held. Called with that lock
 * held.
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

/* Over TIMER_CLOSED. Returns 0, or what timerfd_create(2) or epoll_ctl(2) gave; then it is closed.
 */
int timer_open(struct timer *t, struct loop *loop, void (*fn)(void *opaque), void *opaque,
	       struct err *err);
/* Also one that is closed. */
void timer_close(struct timer *t);
/* Expire so long from now instead of when it was set to before; 0: do not expire. Nothing happens
 * when it is closed. */
void timer_set(struct timer *t, unsigned milliseconds);

#endif
