/* The options that limit a machine (limits/limits.h): of `run`, `resume`, `clone`, `receive` and
 * `update`. One thread. */
#ifndef TORPOR_CLI_LIMIT_ARGS_H
#define TORPOR_CLI_LIMIT_ARGS_H

#include <jansson.h>

#include "cli/options.h"
#include "limits/limits.h"

enum limit_option {
	OPT_CPUS = OPTION_LONG_ONLY + 420,
	OPT_CPU_WEIGHT,
	OPT_CPUSET,
	OPT_MEMORY_MAX,
	OPT_PIDS_MAX,
};

/* clang-format off */
#define LIMIT_OPTIONS                                                                              \
	{OPT_CPUS, "cpus", "N", "CPU time that its virtual CPUs may use, in CPUs, such as 0.5 or 1.5"}, \
	{OPT_CPU_WEIGHT, "cpu-weight", "N", "its share of busy CPUs, 1 to 10000; others have 100"},  \
	{OPT_CPUSET, "cpuset", "LIST", "this host's CPUs that it may run on, such as 0-3,8"},         \
	{OPT_MEMORY_MAX, "memory-max", "SIZE", "memory of this host that it may take; at more than that the kernel ends it"}, \
	{OPT_PIDS_MAX, "pids-max", "N", "processes and threads that it may have"}
/* clang-format on */

/* Take an option that is one of LIMIT_OPTIONS: 1, 0 when it is not, or -EINVAL with ERR_USAGE. */
int limit_args_take(struct limits *l, int id, const char *value, struct err *err);
/* On standard error what is allowed and hardly wanted, of a machine with so many vCPUs. */
void limit_args_warn(const struct limits *l, uint32_t vcpus, uint64_t memory);
/* Lines on standard output: what is in force (group_json()), behind words of `width` columns. NULL:
 * nothing. */
void limit_args_print(const json_t *limits, int width);

#endif
