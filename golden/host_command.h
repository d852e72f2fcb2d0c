/*
 * A command of a test that runs on this host: `/bin/sh -c` with an empty standard input, both
 * outputs together. One thread.
 */
#ifndef TORPOR_GOLDEN_HOST_COMMAND_H
#define TORPOR_GOLDEN_HOST_COMMAND_H

#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

/* Of the output of a command so much is compared. */
#define GOLDEN_OUTPUT_MAX (1u << 20)
#define GOLDEN_TIMED_OUT  124 /* the status then, as of timeout(1) */

/* Append `len` bytes of output, up to GOLDEN_OUTPUT_MAX; *dropped counts the rest. */
void golden_output_add(struct buf *output, const void *data, size_t len, uint64_t *dropped);
/* Behind all output: a line about what was dropped, if anything. */
void golden_output_end(struct buf *output, uint64_t dropped);

/* Where commands of the host run. */
struct test_host {
	char *const *env; /* their environment */
	/* While one runs, its process group, else 0: for another thread that ends the test. */
	_Atomic pid_t group;
};

/* Start a program in a process group of its own, with an empty standard input, both outputs to `out`,
 * and the signals that we block or ignore as they are by default. Returns 0 or an errno. */
int host_command_spawn(const char *program, const char *const *argv, char *const *env, int out,
		       pid_t *pid);

/*
 * Run it: its output, and its exit status, 128 and the signal that ended it, or GOLDEN_TIMED_OUT
 * when it was killed with what it started after `seconds`. What it leaves in the background may go
 * on, and is not waited for. Returns 0, -ENOMEM, or the errno of
 * pipe2(2), posix_spawn(3) or poll(2).
 */
int host_command_run(const char *command, struct test_host *host, unsigned seconds,
		     struct buf *output, int *status, struct err *err);

#endif
