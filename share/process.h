/*
 * The process that serves a folder to a machine (share/server.h), and the machine's end of the channel to it
 * (share/channel.h).
 *
 * share_start() makes it before the machine reads its appliance, because a machine can neither start processes
 * that do more than itself nor open folders. It has a session of its own and is nobody's child; it ends with
 * the socket. It has no capabilities, a system call filter without sockets, processes and programs, and a
 * Landlock domain in which there is that folder (host/sandbox.h).
 */
#ifndef TORPOR_SHARE_PROCESS_H
#define TORPOR_SHARE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* The machine's ends. */
struct share_ends {
	int socket; /* owned; -1: there is no server */
	int memory; /* owned */
};

#define SHARE_ENDS_CLOSED                                                                          \
	{                                                                                          \
		-1, -1                                                                             \
	}

/* Serve `folder`, a descriptor of a directory, which stays the caller's. Main thread, while it is the only one.
 * Waits until the server is confined. Returns 0; -EINVAL with ERR_FAILED when it could not; or the errno of
 * memfd_create(2), ftruncate(2), socketpair(2), fork(2) or poll(2). */
int share_start(struct share_ends *ends, int folder, bool readonly, struct err *err);
void share_ends_close(struct share_ends *ends);

#endif
