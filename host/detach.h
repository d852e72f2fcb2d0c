/*
 * Going into the background. The parent waits until the child reports that its machine or LAN runs,
 * or why it does not. Fork before there is a VM: a VM belongs to the process that made it.
 */
#ifndef TORPOR_HOST_DETACH_H
#define TORPOR_HOST_DETACH_H

#include <stdbool.h>

#include "base/err.h"

#define DETACH_NAME_SIZE 64

/* In the child: returns 0 with *report_fd set. In the parent: returns 1 with the child's name in
 * `name` when the child is ready, -EINVAL with the child's own error when it is not, or the errno
 * of pipe(2) or fork(2). */
int detach_fork(int *report_fd, char name[DETACH_NAME_SIZE], struct err *err);

/* The two halves of detach_fork(), for who has more to do meanwhile. detach_start() returns 0 in the
 * child; in the parent 1, with *wait_fd for one detach_await(), which closes it and returns as
 * detach_fork() does in the parent. */
int detach_start(int *report_fd, int *wait_fd, struct err *err);
int detach_await(int wait_fd, char name[DETACH_NAME_SIZE], struct err *err);

/* In the child, one of both, once. detach_ready() also connects the standard streams to /dev/null,
 * and leaves the parent's working directory. It returns false when the parent is gone, and nobody was
 * told the name. */
bool detach_ready(int report_fd, const char *name);
void detach_failed(int report_fd, const struct err *err);

#endif
