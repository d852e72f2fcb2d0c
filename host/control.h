/*
 * The server side of the control protocol (protocol.h) on a machine's loop. It knows connections
 * and lines; what a request means is its owner's business.
 *
 * Loop thread, machine lock held; control_finish() after the loop has ended, without the lock.
 */
#ifndef TORPOR_HOST_CONTROL_H
#define TORPOR_HOST_CONTROL_H

#include <jansson.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/loop.h"

struct control_client;

struct control {
	struct loop *loop;
	struct loop_watch watch;
	int listen_fd; /* -1 until control_listen */
	struct control_client *clients;
	int passed_fd;	/* came with the request that is being answered; -1: none */
	json_t *broken; /* the answer to whoever waits for the end or that; NULL: it is not */

	/* Answer a request other than "wait" and "console": a new reply, or NULL with *err set. */
	json_t *(*answer)(void *opaque, const char *what, const json_t *request, struct err *err);
	/* NULL: there is none. Take over a connection that became a console, with the bytes behind
	 * the request. */
	int (*console)(void *opaque, int fd, const uint8_t *typed, size_t len, struct err *err);
	void *opaque;
};

/* Fills everything but the callbacks. */
void control_init(struct control *control, struct loop *loop);
/* Listen on the socket `control` of machine `name`, whose claim the caller holds; or on any other
 * that is the caller's. */
int control_listen(struct control *control, const char *name, struct err *err);
int control_listen_at(struct control *control, const struct sockaddr_un *addr, struct err *err);
/* A listening socket there, in place of what a killed predecessor left; for this user alone. */
int control_bind(const struct sockaddr_un *addr, struct err *err);
/* No new connections; the old ones wait for control_finish. */
void control_close_listener(struct control *control);
/* The machine is broken: send `broken` (the reference is taken), also to who asks later. Once. */
void control_broken(struct control *control, json_t *broken);
/* Send `over` (the reference is taken) to everyone who waits, and close all connections. */
void control_finish(struct control *control, json_t *over);

#endif
