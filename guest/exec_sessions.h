/*
 * Commands in the guest: joins clients, each with a socket and one command, with the helper in the
 * guest. Frames (exec_frame.h) are handed on in both directions; what is done here is to give each
 * command a number, to keep every queue bounded, and to tell clients what went wrong.
 *
 *     clients ─ sockets ─┬─ sessions ─ transport ─ helper in the guest ─┬─ commands
 *     clients ───────────┘                                             └─ commands
 *
 * A client that does not read gets no more than EXEC_OUTPUT_WINDOW: the helper leaves the rest with
 * the command. A client that hangs up ends its command. The transport begins with the first client
 * and ends when there was none for EXEC_IDLE_MS.
 *
 *     exec_sessions_init → exec_sessions_open → exec_sessions_attach … → exec_sessions_finish
 *
 * Machine lock held; on the loop's thread, or what the guest says on a vCPU's.
 */
#ifndef TORPOR_GUEST_EXEC_SESSIONS_H
#define TORPOR_GUEST_EXEC_SESSIONS_H

#include <stdbool.h>

#include "base/timer.h"
#include "guest/exec_frame.h"
#include "guest/transport.h"

#define EXEC_IDLE_MS 60000u

struct exec_client;

struct exec_sessions {
	struct transport *transport;
	struct loop *loop;
	struct timer idle;
	struct exec_client *clients; /* owned */
	unsigned nclients;
	uint32_t last_id;
	bool begun;  /* the transport has */
	bool helped; /* the helper has said that it is there */
	bool open;
	size_t heard_len; /* of the helper: less than a frame, in */
	uint8_t heard[EXEC_HEADER + EXEC_FRAME_MAX];
};

/* Takes the transport. */
void exec_sessions_init(struct exec_sessions *s, struct transport *transport, struct loop *loop);
/* Returns 0, or what timer_open() gives. */
int exec_sessions_open(struct exec_sessions *s, struct err *err);
/* A client's non-blocking socket, which is taken, with what it has already sent. Returns 0, or
 * -ENOMEM, -EAGAIN when there are EXEC_SESSIONS_MAX clients, or what loop_add() gives: the client
 * has been told. */
int exec_sessions_attach(struct exec_sessions *s, int fd, const uint8_t *data, size_t len,
			 struct err *err);
/* The guest is taken back to an earlier state, in which nobody knows of the commands: tell all clients
 * `why`. The next command begins anew. */
void exec_sessions_reset(struct exec_sessions *s, const char *why);
/* The loop is over: tell all clients `why`, give them a moment to read, and free everything. Safe
 * after exec_sessions_init() and on zeroes. */
void exec_sessions_finish(struct exec_sessions *s, const char *why);

#endif
