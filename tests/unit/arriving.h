/* Files that arrive, for tests: a thread copies them from whole files, block by block, as they are
 * asked for. */
#ifndef TORPOR_TESTS_ARRIVING_H
#define TORPOR_TESTS_ARRIVING_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/arrival.h"
#include "base/blob.h"

#define ARRIVING_MAX 64u

struct arriving {
	/* What is spoiled on its way: byte `spoil_at` of file `spoil_file`, so many times. Set
	 * before it begins. */
	uint32_t spoil_file;
	uint64_t spoil_at;
	unsigned spoil_times;
	/* Nothing comes while it is set, or until it is asked for. */
	atomic_bool away, lazy;

	atomic_uint spoiled; /* times, so far */
	atomic_uint again;   /* requests for another copy */
	struct arrivals *reader;
	struct blob blob[ARRIVING_MAX]; /* of each file, as a machine has it */

	/* Private. */
	struct arrivals *writer;
	uint32_t n;
	int from[ARRIVING_MAX], map_fd, end_fd;
	pthread_t thread;
};

/* `fds` are whole files, which are taken. */
void arriving_begin(struct arriving *w, const int *fds, uint32_t n);
void arriving_end(struct arriving *w);

#endif
