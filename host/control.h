/*
 * The server side of the control protocol (protocol.h) on a machine's loop. It handles connections
 * and lines; its owner handles requests.
 *
 *     control_init → callbacks → control_listen → … → control_close_listeners → control_finish
 *
 * While a request is answered another thread may run the loop (loop_poll()): then the callbacks run
 * there. A request may also be answered later (control_defer()). Nothing more is read from the client
 * whose request it is.
 *
 * Loop thread, machine lock held; control_finish() after the loop has ended, without the lock.
 * control_listen() and control_listen_at() return 0, or what listener_open() or path_runtime()
 * returned with *err set. The others cannot fail: a connection that fails is closed.
 */
#ifndef TORPOR_HOST_CONTROL_H
#define TORPOR_HOST_CONTROL_H

#include <jansson.h>

#include "host/listener.h"

struct control_client;

struct control {
	struct loop *loop;
	struct listener listener[2]; /* in the runtime folder, and in the state folder */
	struct control_client *clients;
	int passed_fd;		       /* came with the request that is being answered; -1: none */
	struct control_client *asking; /* whose request is being answered */
	struct control_client *deferred; /* whose request is answered later; NULL: nobody's */
	int client_fd;	/* whose request that is; -1: none is being answered. Both are to be read
			 * before another thread runs the loop and answers another request */
	json_t *broken; /* the answer to clients that wait for the end or for a failure; NULL: none
			 */

	/* Answer a request other than "wait" and "console": a new reply, or NULL with *err set. A
	 * reply to "exec" allows that. */
	json_t *(*answer)(void *opaque, const char *what, const json_t *request, struct err *err);
	/* NULL: there are none. Take over a connection that became a stream, `what` is "console" or
	 * "exec", with the bytes behind the request. */
	int (*hand_over)(void *opaque, const char *what, int fd, const uint8_t *data, size_t len,
			 struct err *err);
	/* NULL, or called when the client has hung up whose request is being answered by another thread
	 * than that which runs the loop, or is answered later. */
	void (*gone)(void *opaque);
	void *opaque;
};

/* Fills everything but the callbacks. */
void control_init(struct control *control, struct loop *loop);
/* Listen for machine `name`, whose claim the caller holds: on `control` in its runtime folder, and,
 * where the state folder can be written, on `socket` in that, which stays when the runtime folder
 * vanishes. */
int control_listen(struct control *control, const char *name, struct err *err);
/* Listen on this socket. */
int control_listen_at(struct control *control, const char *path, struct err *err);
/* Within `answer`, which then returns NULL: it is answered later, by control_answer(). One request at a
 * time. */
void control_defer(struct control *control);
/* It is answered anew, by `answer`, with the descriptor that came along (-1: none). That may defer it again. */
void control_again(struct control *control, const char *what, const json_t *request, int passed_fd);
/* That answer: a reply, which is taken, or NULL with *err set. Before control_finish(). */
void control_answer(struct control *control, json_t *reply, const struct err *err);
/* No new connections; open ones stay until control_finish. */
void control_close_listeners(struct control *control);
/* The machine is broken, or its guest has halted for good: send `broken` (the reference is taken)
 * to clients that wait for that, also to later ones. Once; after a halt once more. */
void control_broken(struct control *control, json_t *broken);
/* Send `over` (the reference is taken) to all clients that wait, and close all connections. */
void control_finish(struct control *control, json_t *over);

#endif
