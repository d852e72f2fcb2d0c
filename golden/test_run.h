/*
 * One test: its commands in order, and what they printed against what the transcript says. What
 * runs a command in the guest is the caller's. One thread.
 */
#ifndef TORPOR_GOLDEN_TEST_RUN_H
#define TORPOR_GOLDEN_TEST_RUN_H

#include "golden/compare.h"
#include "golden/host_command.h"

struct test_guest {
	/* Run a command in the guest's shell, with an empty standard input: append its output, both
	 * streams together, and set its status; GOLDEN_TIMED_OUT after `seconds`. Returns 0, or a
	 * negative errno when it could not be run or followed. */
	int (*run)(void *opaque, const char *command, unsigned seconds, struct buf *output,
		   int *status, struct err *err);
	void *opaque;
};

/* Returns 0, with *edits the difference, for
 * edits_free(); or the error of the command that could not be run, whose line the text names, with
 * the edits up to there. */
int test_run(const struct transcript *t, const struct test_guest *guest, struct test_host *host,
	     struct edits *edits, struct err *err);

#endif
