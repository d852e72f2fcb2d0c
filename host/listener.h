/*
 * A listening Unix socket on a loop. While the process has no descriptors or memory for another
 * connection, the socket is left alone for LISTENER_RETRY_MS at a time: connections wait in its
 * queue, and the loop does not spin.
 *
 * Loop thread. listener_open() returns 0, or what unix_listen(), timer_open() or loop_add()
 * returned with *err set; then it is closed. listener_close() cannot fail.
 */
#ifndef TORPOR_HOST_LISTENER_H
#define TORPOR_HOST_LISTENER_H

#include "base/timer.h"

#define LISTENER_RETRY_MS 100u

struct listener {
	struct loop *loop;
	struct loop_watch watch;
	struct timer retry;
	int fd; /* -1: closed */
	void (*accepted)(struct listener *listener, int fd);
};

#define LISTENER_CLOSED                                                                            \
	{                                                                                          \
		.fd = -1, .watch = {.fd = -1}, .retry = {.fd = -1, .watch = {.fd = -1} }           \
	}

/* `accepted` is called for each connection, which is non-blocking and belongs to it. */
int listener_open(struct listener *listener, struct loop *loop, const char *path,
		  void (*accepted)(struct listener *listener, int fd), struct err *err);
/* The same with a non-blocking socket that listens, which is taken, also on error. Returns 0, or what timer_open()
 * or loop_add() returned. */
int listener_take(struct listener *listener, struct loop *loop, int fd,
		  void (*accepted)(struct listener *listener, int fd), struct err *err);
/* A closed one is left alone. */
void listener_close(struct listener *listener);

#endif
