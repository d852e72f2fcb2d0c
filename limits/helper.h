/*
 * A process that makes the groups of machines. A machine is confined before it has a name, and can
 * then neither write control groups nor speak to systemd; who starts it is confined with it. So this
 * is started before, and asked through a socket. It ends when all who may ask have closed that, and at
 * the latest with the process that started it.
 *
 *     limits_helper_start (before sandbox_enter_machine()) → in each machine, before it takes memory and has threads:
 *     limits_helper_ask → limits_helper_close
 *
 * It trusts no machine: it moves none but the process that asks, and sets what it was started with.
 * One thread.
 */
#ifndef TORPOR_LIMITS_HELPER_H
#define TORPOR_LIMITS_HELPER_H

#include "base/child.h"
#include "limits/limits.h"

struct limits_helper {
	struct child child; /* of the process that started it */
	int fd;		    /* owned; -1: there is none */
};

#define LIMITS_HELPER_NONE                                                                         \
	{                                                                                          \
		.child = {.fd = -1}, .fd = -1                                                      \
	}

/* Where the threads of a machine's vCPUs belong, and where its others do: files to write a thread's
 * number to. */
struct limits_group {
	int vcpus_fd; /* owned; -1: nowhere in particular */
	int rest_fd;
};

#define LIMITS_GROUP_NONE                                                                          \
	{                                                                                          \
		.vcpus_fd = -1, .rest_fd = -1                                                      \
	}

/* Returns 0, also where nothing is limited: there is no helper then; or the errno of socketpair(2) or
 * setsockopt(2), or what child_start() gives. */
int limits_helper_start(struct limits_helper *helper, const struct limits *l, struct err *err);
/* Move this process, machine `name`, into a group of its own, with its limits. Without a helper
 * nothing is done. Returns 0; what limits_place() gives; -EPIPE when the helper has ended; the errno
 * of socketpair(2), sendmsg(2) or recvmsg(2). */
int limits_helper_ask(const struct limits_helper *helper, const char *name,
		      struct limits_group *group, struct err *err);
void limits_helper_close(struct limits_helper *helper);
void limits_group_close(struct limits_group *group);

#endif
