/*
 * Going into the background: the parent waits until its child's machine runs, or for the reason why
 * it does not, and passes that on. Fork before there is a VM: a VM belongs to the process that made
 * it.
 */
#ifndef TORPOR_HOST_DETACH_H
#define TORPOR_HOST_DETACH_H

#include "base/err.h"

/* In the child: returns 0 with *report_fd set. In the parent: returns 1 when the child is ready,
 * after printing its name, or its error. */
int detach_fork(int *report_fd, struct err *err);

/* In the child, once. The standard streams now belong to nobody. */
void detach_ready(int report_fd, const char *name);
void detach_failed(int report_fd, const struct err *err);

#endif
