/*
 * A machine that is held for a move: it is paused, and whoever moves it has the other end of a
 * pipe.
 *
 *     hold_begin → hold_commit → hold_release          the source: it has ended, for it runs
 * elsewhere hold_begin → (the pipe is closed)                the source goes on, the target ends
 *     hold_begin → hold_commit → (the pipe is closed)  it stays paused: nobody knows where it runs
 *
 * While it is held no one else lets it go on. Loop thread, machine lock held.
 */
#ifndef TORPOR_INSTANCE_HOLD_H
#define TORPOR_INSTANCE_HOLD_H

#include "vmm/machine.h"

/* What a closed pipe means. */
enum hold_loss {
	HOLD_GOES_ON, /* the source before its commit; if it ran before */
	HOLD_STAYS,   /* the source behind it */
	HOLD_ENDS,    /* the target */
};

struct hold {
	struct machine *machine;
	struct loop_watch watch;
	int fd; /* owned; -1: it is not held */
	enum hold_loss loss;
	bool was_running;
};

#define HOLD_NONE                                                                                  \
	{                                                                                          \
		.fd = -1                                                                           \
	}

/* Pause it and watch the pipe, whose reading end is taken, also on failure. -EBUSY with ERR_FAILED
 * when it is held already, or what epoll_ctl(2) gave. */
int hold_begin(struct hold *h, struct machine *m, int fd, enum hold_loss loss, struct err *err);
/* The target may start it from here on. -EINVAL with ERR_USAGE when it is not held. */
int hold_commit(struct hold *h, struct err *err);
/* It is no longer held, and stays as it is: paused, or about to end. */
void hold_release(struct hold *h);

static inline bool hold_is_active(const struct hold *h)
{
	return h->fd >= 0;
}

#endif
