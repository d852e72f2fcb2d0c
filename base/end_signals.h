/*
 * The signals that ask a program to end: SIGINT, SIGQUIT, SIGTERM, and SIGHUP unless it is ignored, as
 * below nohup(1). Any thread; a mask is of the thread that calls, and of those that it starts then.
 *
 *     end_signals_open → end_signals_take … → end_signals_die, for who ends as if by the signal
 */
#ifndef TORPOR_BASE_END_SIGNALS_H
#define TORPOR_BASE_END_SIGNALS_H

#include <signal.h>

#include "base/err.h"

void end_signals_set(sigset_t *set);

/* Block them, and `also` if that is not 0. Returns a signalfd that is non-blocking, or the errno of
 * signalfd(2). */
int end_signals_open(int also, struct err *err);
/* The number of one that came; 0: none. */
int end_signals_take(int fd);
/* Does not return, unless the signal does not end a program. */
void end_signals_die(int number);

#endif
