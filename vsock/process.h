/*
 * The sockets of this host that a guest's virtio-vsock leads to, and the process that connects to them.
 *
 * vsock_start() listens at PATH and makes that process before the machine reads its appliance, because a
 * machine can make no sockets. All that the process does is to connect to PATH_PORT when the machine asks for
 * a port, to hand the connection over, and to remove PATH when the machine is gone, however it ended. It has a
 * session of its own and is nobody's child; it has no capabilities, a system call filter without files,
 * processes and programs, and a Landlock domain in which names in PATH's folder are removed, and no more
 * (host/sandbox.h).
 *
 * The channel is a SOCK_SEQPACKET socket that takes a struct vsock_dial each way; a descriptor comes with an
 * answer whose `error` is 0.
 */
#ifndef TORPOR_VSOCK_PROCESS_H
#define TORPOR_VSOCK_PROCESS_H

#include <stdint.h>

#include "base/err.h"

/* Bytes of PATH, with its end: PATH_PORT must be a path, too. */
#define VSOCK_PATH_SIZE 4000u

struct vsock_ends {
	int listener; /* owned: listens at PATH, non-blocking; -1: there is nobody */
	int dialer;   /* owned: the channel */
};

#define VSOCK_ENDS_CLOSED                                                                          \
	{                                                                                          \
		-1, -1                                                                             \
	}

/* What is asked, and the answer to it. */
struct vsock_dial {
	uint32_t slot, serial; /* the asker's; come back as they are */
	uint32_t port;
	int32_t error; /* of an answer: 0, or a negative errno */
};

/* Main thread, while it is the only one. Waits until the process is confined. Returns 0; -EINVAL with ERR_USAGE
 * for a path that is too long; -EEXIST with ERR_USAGE when something else than a socket that nobody listens at is
 * at PATH; -EINVAL with ERR_FAILED when the process does not answer; what unix_listen() and sandbox_enter_dialer()
 * give; or the errno of realpath(3), stat(2), socketpair(2), fork(2) or poll(2). */
int vsock_start(struct vsock_ends *ends, const char *path, struct err *err);
/* Whether vsock_start() would now take the path: the errors that it gives for the path itself. */
int vsock_check_path(const char *path, struct err *err);
void vsock_ends_close(struct vsock_ends *ends);

/* Ask for `port`. Returns 0, or what send(2) gave: -EAGAIN when too many are asked for. */
int vsock_dial_ask(int dialer, const struct vsock_dial *ask);
/* The next answer, and with error 0 *fd, which is the caller's and non-blocking. Returns 1; 0 when there is none
 * now; -EPIPE when there will be none any more. */
int vsock_dial_take(int dialer, struct vsock_dial *answer, int *fd);

#endif
