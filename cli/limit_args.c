/* See limit_args.h. */
#include "cli/limit_args.h"

#include <stdio.h>

int limit_args_take(struct limits *l, int id, const char *value, struct err *err)
{
	int ret;

	switch (id) {
	case OPT_CPUS:
		ret = limits_parse_cpus(l, value, err);
		break;
	case OPT_CPU_WEIGHT:
		ret = limits_parse_weight(l, value, err);
		break;
	case OPT_CPUSET:
		ret = limits_parse_cpuset(l, value, err);
		break;
	case OPT_MEMORY_MAX:
		ret = limits_parse_memory(l, value, err);
		break;
	case OPT_PIDS_MAX:
		ret = limits_parse_pids(l, value, err);
		break;
	default:
		return 0;
	}
	return ret < 0 ? ret : 1;
}

void limit_args_print(const json_t *limits, int width)
{
	const json_t *cpus = json_object_get(limits, "cpus");
	const json_t *memory = json_object_get(limits, "memory-max");
	const json_t *pids = json_object_get(limits, "pids-max");
	const char *cpuset = json_string_value(json_object_get(limits, "cpuset"));

	if (limits == NULL)
		return;
	printf("%-*s", width, "limits");
	if (cpus != NULL)
		printf("%.3g CPUs, ", json_real_value(cpus));
	if (cpuset != NULL)
		printf("on CPUs %s, ", cpuset);
	if (memory != NULL)
		printf("%lld MiB, ", json_integer_value(memory) >> 20);
	if (pids != NULL)
		printf("%lld processes, ", json_integer_value(pids));
	printf("weight %lld\n", json_integer_value(json_object_get(limits, "cpu-weight")));
	printf("%-*s%s\n", width, "group", json_string_value(json_object_get(limits, "group")));
}

void limit_args_warn(const struct limits *l, uint32_t vcpus, uint64_t memory)
{
	if (l->milli_cpus > vcpus * 1000)
		fprintf(stderr,
			"torpor: --cpus limits the CPU time of a machine, and this one has %u "
			"virtual "
			"CPU%s, which never use so much: how many it has says -c (--vcpus)\n",
			vcpus, vcpus == 1 ? "" : "s");
	if (l->memory != 0 && l->memory < memory)
		fprintf(stderr,
			"torpor: the machine has %llu MiB of memory, and --memory-max is %llu: the "
			"kernel ends it when it uses more\n",
			(unsigned long long)(memory >> 20), (unsigned long long)(l->memory >> 20));
}
