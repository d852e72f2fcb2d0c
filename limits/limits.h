/*
 * What a machine may use of its host: CPU time, CPUs, memory, processes. Here are the values and what
 * they are on a command line; limits/place.h sets them. Pure, any thread.
 */
#ifndef TORPOR_LIMITS_LIMITS_H
#define TORPOR_LIMITS_LIMITS_H

#include <stdint.h>

#include "base/err.h"

enum limit {
	LIMIT_CPUS = 1,
	LIMIT_WEIGHT = 2,
	LIMIT_CPUSET = 4,
	LIMIT_MEMORY = 8,
	LIMIT_PIDS = 16,
};

/* The highest number of a host's CPU, and one more. */
#define LIMITS_HOST_CPUS  8192u
#define LIMITS_MIN_WEIGHT 1u
#define LIMITS_MAX_WEIGHT 10000u

struct limits {
	unsigned set; /* bits LIMIT_*: of those below, the ones that were given */
	uint32_t
		milli_cpus; /* CPU time of all vCPUs together, in thousandths of a CPU; 0: no limit */
	uint32_t weight;  /* share of busy CPUs beside other groups; 100 is what every group has */
	char cpuset[256]; /* CPUs of the host, as "0-3,8"; "": all */
	uint64_t memory;  /* bytes; 0: no limit */
	uint64_t pids;	  /* processes and threads; 0: no limit */
};

/* What each option takes; "max" takes a limit away, but for the weight. Return 0, or -EINVAL with
 * ERR_USAGE. CPUs are 0.01 to 512, in steps of 0.001. */
int limits_parse_cpus(struct limits *l, const char *text, struct err *err);
int limits_parse_weight(struct limits *l, const char *text, struct err *err);
int limits_parse_cpuset(struct limits *l, const char *text, struct err *err);
int limits_parse_memory(struct limits *l, const char *text, struct err *err);
int limits_parse_pids(struct limits *l, const char *text, struct err *err);

/* The CPUs of a list that was parsed, as a mask: CPU n is bit n % 8 of byte n / 8. Returns how many
 * bytes it takes. */
unsigned limits_cpu_mask(const char *cpuset, uint8_t mask[LIMITS_HOST_CPUS / 8]);

#endif
