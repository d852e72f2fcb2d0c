/*
 * The control group of a machine:
 *
 *     torpor-NAME-PID[.scope]     all of its process: loop, pager, the copies that write saves
 *         vcpus                   the threads of its vCPUs, a threaded group
 *
 * What limits CPU time lies on `vcpus` alone, so that a guest without CPU time left does not keep its
 * disks, its network and its control socket waiting. All else lies on the whole. Any thread.
 *
 * Functions that return int return 0; or -errno with *err set: what the functions of cgroup.h give.
 */
#ifndef TORPOR_LIMITS_GROUP_H
#define TORPOR_LIMITS_GROUP_H

#include <jansson.h>

#include "limits/cgroup.h"
#include "limits/limits.h"

#define GROUP_NAME_SIZE 128u
#define GROUP_SCOPE	".scope" /* the group belongs to a scope of systemd */

/* The name of the group of machine `name` in process `pid`. */
void group_name(char text[GROUP_NAME_SIZE], const char *name, pid_t pid);
/* Whether this is that group; with *scope, whether it belongs to systemd. */
bool group_is(const char *group, const char *name, pid_t pid, bool *scope);

/* A group that was just made, and may have its process already: make `vcpus`, with what limits it as
 * far as that is there. What `l` limits must be there: else ERR_FAILED, which names what is missing. */
int group_divide(const char *group, const struct limits *l, struct err *err);
/* Whether what `l` limits has its controllers in the group: else ERR_FAILED, as before. */
int group_check(const char *group, const struct limits *l, struct err *err);
/* Set what was given. `scope`: all but CPU time is systemd's to set, and is not set here. */
int group_set(const char *group, bool scope, const struct limits *l, struct err *err);

/* "max" for --cpuset of a group that is in use: the list of all CPUs that the groups above have, for
 * the kernel takes no empty one then. */
int group_all_cpus(const char *group, struct limits *l, struct err *err);

/* Remove it, unless there are processes in it. Cannot fail. */
void group_remove(const char *group);
/* Take away the groups below `base` whose processes have ended. Cannot fail. */
void group_sweep(const char *base);

/* The limits that are in force, as the kernel has them, and what is used:
 *
 *     {"group":path,"cpus":n,"cpu-weight":n,"cpuset":list,"memory-max":bytes,"pids-max":n,
 *      "throttled":seconds that vCPUs stood still,"oom-kills":n,
 *      "used":{"cpu-seconds":seconds of the vCPUs,"memory":bytes,"pids":n}}
 *
 * What is not limited, and what has no controller, is left out. NULL without memory. */
json_t *group_json(const char *group);

#endif
