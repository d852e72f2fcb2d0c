/* See oom.h. */
#include "host/oom.h"

#include <stdio.h>

#include "base/cleanup.h"

uint64_t oom_kills(void)
{
	cleanup_file FILE *file = fopen("/proc/vmstat", "re");
	unsigned long long kills;
	char line[128];

	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		if (sscanf(line, "oom_kill %llu", &kills) == 1)
			return kills;
	}
	return 0;
}
