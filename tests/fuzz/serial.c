/* base/parallel.c without threads: a target has one core, and starting a thread for each small
 * input took a quarter of its time. */
#include "base/parallel.h"

int parallel_run(uint64_t jobs, int (*job)(void *opaque, uint64_t index, struct err *err),
		 void *opaque, struct err *err)
{
	int ret = 0;

	for (uint64_t i = 0; ret == 0 && i < jobs; i++)
		ret = job(opaque, i, err);
	return ret < 0 ? ret : 0;
}
