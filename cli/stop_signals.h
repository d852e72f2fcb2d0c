/*
 * The signals that end a verb which must clean up behind itself: the first one makes a descriptor
 * readable, the second one ends the process at once.
 *
 *     stop_signals_watch (before other threads are started) → … → stop_signals_die
 */
#ifndef TORPOR_CLI_STOP_SIGNALS_H
#define TORPOR_CLI_STOP_SIGNALS_H

#include "base/err.h"

struct stop_signals {
	int fd;		    /* an eventfd, readable from the first signal on */
	_Atomic int number; /* of that signal; 0: none came */
};

/* Block those of base/end_signals.h and watch for them on a thread that lives as long as
 * the process, and *stop with it. Returns 0, or the errno of eventfd(2) or pthread_create(3). */
int stop_signals_watch(struct stop_signals *stop, struct err *err);
/* When a signal came: say that `verb` is cancelled, and what is so then (meter_say_cancelled(); NULL: the
 * verb has said it), and end as if it had ended us at once. */
void stop_signals_die(const struct stop_signals *stop, const char *verb, const char *cancelled);

#endif
