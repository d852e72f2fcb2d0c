/*
 * Where the group of a machine (group.h) is made, the first of these that there is:
 *
 *     in the group of its process, if that was delegated (Delegate=yes of a service);
 *     in a scope of systemd, where that manages the host;
 *     in the first group at or above that of its process that may be written, as by root on other hosts.
 *
 * In a process that may write control groups and speak to systemd: not in a machine. One thread.
 */
#ifndef TORPOR_LIMITS_PLACE_H
#define TORPOR_LIMITS_PLACE_H

#include <jansson.h>
#include <sys/types.h>

#include "limits/cgroup.h"
#include "limits/limits.h"

/* Make the group of machine `name`, whose process is `pid`, with its limits, and move the process
 * there; its threads, too, and those of its vCPUs to their own group. Returns 0 with *group set; or
 * -errno: ERR_FAILED that says what to do where no group can be made, or what the functions of
 * cgroup.h, group.h and scope.h give. What was made before an error stays until the process has ended,
 * at the most. */
int limits_place(const char *name, pid_t pid, const struct limits *l, struct cgroup_path *group,
		 struct err *err);
/* group_json() of the machine; NULL: it has no group of its own, or no memory. */
json_t *limits_json(const char *name, pid_t pid);
/* Change those that were given, of a machine with a group of its own or without. Errors of limits_place(). */
int limits_change(const char *name, pid_t pid, const struct limits *given, struct err *err);

#endif
