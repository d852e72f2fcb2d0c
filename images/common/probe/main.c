/* The table of verbs. Single thread; owns nothing. */
#include <stdio.h>
#include <string.h>

#include "probe.h"

struct verb {
	const char *name;
	const char *usage;
	int args;
	int (*run)(int argc, char **argv);
};

static const struct verb verbs[] = {
	{"tick", "tick FILE", 1, probe_tick}, {"clock", "clock", 0, probe_clock},
	{"ptp", "ptp DEVICE", 1, probe_ptp},  {"monotone", "monotone SECONDS", 1, probe_monotone},
	{"load", "load DIR", 1, probe_load},  {"vector", "vector THREADS FILE", 2, probe_vector},
};

int main(int argc, char **argv)
{
	const size_t count = sizeof(verbs) / sizeof(verbs[0]);

	for (size_t i = 0; argc > 1 && i < count; i++)
		if (strcmp(argv[1], verbs[i].name) == 0 && argc - 2 == verbs[i].args)
			return verbs[i].run(argc - 2, argv + 2);
	for (size_t i = 0; i < count; i++)
		fprintf(stderr, "usage: probe %s\n", verbs[i].usage);
	return 2;
}
