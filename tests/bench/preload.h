/* What is preloaded into a VMM: a number in a file, which is mapped before main(), for a VMM may close
 * descriptors that it inherits, and confine itself. */
#ifndef TORPOR_TESTS_BENCH_PRELOAD_H
#define TORPOR_TESTS_BENCH_PRELOAD_H

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* The first 8 bytes of the file that this variable names; NULL: there is none. */
static inline void *map_number(const char *variable)
{
	const char *path = getenv(variable);
	int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *page;

	if (fd < 0)
		return NULL;
	page = mmap(NULL, sizeof(int64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return page != MAP_FAILED ? page : NULL;
}

/* CLOCK_MONOTONIC. */
static inline int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

#endif
