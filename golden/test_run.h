/*
 * One test: its commands in order, and what they printed against what the transcript says. What
 * runs a command in the guest is the caller's. One thread.
 */
#ifndef TORPOR_GOLDEN_TEST_RUN_H
#define TORPOR_GOLDEN_TEST_RUN_H

#include "golden/host_command.h"
#include "golden/test_result.h"

struct test_guest {
	/* Run a command in the guest's shell, with an empty standard input: append its output, both
	 * streams together and up to `most` bytes, as golden_output_end() ends it, and set its
	 * status; GOLDEN_TIMED_OUT after `seconds`. Returns 0, or a negative errno when it could not
	 * be run or followed: -ENOMEM when this host has no memory for it, or for its machine. */
	int (*run)(void *opaque, const char *command, unsigned seconds, size_t most,
		   struct buf *output, int *status, struct err *err);
	void *opaque;
};

/* Where the commands of a test run. */
struct test_place {
	struct test_guest guest;
	struct test_host host;
	uint64_t origin_ns; /* CLOCK_MONOTONIC: that of the result's times */
	/* Called once, behind the first command whose output differs, before the next one runs;
	 * NULL: not. */
	void (*differs)(void *opaque);
	void *opaque;
};

/* Run the commands of result->transcript: fills its steps and edits. Returns 0; -ECANCELED when the
 * test was stopped; or the error of the command that could not be run, whose line the text names,
 * with the edits up to there. */
int test_run(struct test_result *result, const struct test_place *place, struct err *err);

#endif
