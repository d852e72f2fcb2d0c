/*
 * Files of control groups of version 2, cgroups(7) and the kernel's admin-guide/cgroup-v2.rst. A group is its
 * folder's path. Any thread; what is written takes effect on the whole host.
 *
 * Functions that return int return 0, or -errno with *err set.
 */
#ifndef TORPOR_LIMITS_CGROUP_H
#define TORPOR_LIMITS_CGROUP_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

struct cgroup_path {
	char text[PATH_MAX];
};

/* The group of a process. ERR_FAILED that says what to do where there are no control groups of version
 * 2 to be seen from here; or the errno of open(2) or read(2). */
int cgroup_of(pid_t pid, struct cgroup_path *path, struct err *err);
/* What the two files say, for the former: /proc/PID/cgroup and /proc/self/mountinfo. False: no such group. */
bool cgroup_find(const char *cgroups, const char *mounts, struct cgroup_path *path);

/* `file` of the group. Read takes the end of a line off; a text that does not fit is cut. Returns what
 * open(2), read(2) or write(2) gave. */
int cgroup_read(const char *group, const char *file, char *text, size_t size, struct err *err);
int cgroup_write(const char *group, const char *file, const char *text, struct err *err);
/* The number behind `key` in a file of lines "key number"; 0 where there is none. */
unsigned long long cgroup_number(const char *group, const char *file, const char *key);

/* Whether `word` is one of a list that is separated by blanks, as in cgroup.controllers. */
bool cgroup_lists(const char *list, const char *word);
/* Whether whoever manages the groups above has left what is below this one to us (systemd's Delegate=). */
bool cgroup_is_delegated(const char *group);
/* Whether this process may make groups below it and move processes there. */
bool cgroup_is_writable(const char *group);

/* Have the groups below `group` limit by `controller`. -EBUSY: processes are in the group itself;
 * -ENOENT: it has no such controller; or what cgroup_read() and cgroup_write() give. */
int cgroup_enable(const char *group, const char *controller, struct err *err);

#endif
