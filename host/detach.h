/*
 * Going into the background: the parent waits until its child's machine runs, or for the reason why
 * it does not, and passes that on. Fork before there is a VM: a VM belongs to the process that made
 * it.
 */
#ifndef TORPOR_HOST_DETACH_H
#define TORPOR_HOST_DETACH_H

#include "base/err.h"

#define DETACH_NAME_SIZE 64

/* In the child: returns 0 with *report_fd set. In the parent: returns 1 with the child's name in
 * `name` when the child is ready, -EINVAL with the child's own error when it is not, or the errno
 * of pipe(2) or fork(2). */
int detach_fork(int *report_fd, char name[DETACH_NAME_SIZE], struct err *err);

/* In the child, once. The standard streams now belong to nobody. */
void detach_ready(int report_fd, const char *name);
void detach_failed(int report_fd, const struct err *err);

#endif
