/*
 * A machine that is held, for a move or until its saved file has a name: it is paused, and whoever
 * moves or saves it has the other end of a pipe or socket.
 *
 *     hold_begin → hold_commit → hold_release          the machine runs on the target
 *     hold_begin → hold_release → hold_give_up         the source goes on: the target never runs it
 *     hold_begin → (the pipe is closed)                the source goes on, the target ends
 *     hold_begin → hold_commit → (the pipe is closed)  the source stays paused: the machine may
 *                                                      run on the target
 *     hold_begin → hold_release | (the socket is closed → lost)         a save
 *
 * While it is held no one else lets it go on. Loop thread, machine lock held.
 */
#ifndef TORPOR_INSTANCE_HOLD_H
#define TORPOR_INSTANCE_HOLD_H

#include "vmm/machine.h"

/* What a closed pipe means. */
enum hold_loss {
	HOLD_GOES_ON,	/* the source before its commit; if it ran before */
	HOLD_STAYS,	/* the source behind it */
	HOLD_ENDS,	/* the target */
	HOLD_PUBLISHES, /* no move: the client of a save names the file; `lost` decides */
};

struct hold {
	struct machine *machine;
	struct loop_watch watch;
	int fd; /* owned; -1: it is not held */
	enum hold_loss loss;
	bool was_running;
	void (*lost)(struct hold *h); /* for HOLD_PUBLISHES; still held */
};

#define HOLD_NONE                                                                                  \
	{                                                                                          \
		.fd = -1                                                                           \
	}

/* Pause it and watch the pipe, whose reading end is taken, or the socket, also on failure. Returns
 * 0, -EBUSY with ERR_FAILED when it is held already, the errno of epoll_ctl(2), or what
 * machine_not_paused() gives. */
int hold_begin(struct hold *h, struct machine *m, int fd, enum hold_loss loss, struct err *err);
/* The target may start it from here on. Returns 0, or -EINVAL with ERR_USAGE when the machine is
 * not held, not for a move, or is the target. */
int hold_commit(struct hold *h, struct err *err);
/* It is no longer held, and stays as it is: paused, or about to end. */
void hold_release(struct hold *h);
/* Behind hold_release(), on the source: the machine goes on if it ran before. */
void hold_give_up(struct hold *h);

static inline bool hold_is_active(const struct hold *h)
{
	return h->fd >= 0;
}

static inline bool hold_is_move(const struct hold *h)
{
	return hold_is_active(h) && h->loss != HOLD_PUBLISHES;
}
/* What is being done to a held machine, for messages. */
static inline const char *hold_reason(const struct hold *h)
{
	return hold_is_move(h) ? "moved" : "saved";
}

#endif
