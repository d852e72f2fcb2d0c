/*
 * A command of a test that runs on this host: `/bin/sh -c` with an empty standard input, both
 * outputs together. One thread.
 */
#ifndef TORPOR_GOLDEN_HOST_COMMAND_H
#define TORPOR_GOLDEN_HOST_COMMAND_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

/* Of the output of a command so much is compared. */
#define GOLDEN_OUTPUT_MAX (1u << 20)
/* Of a list of what is in a guest so much is read. */
#define GOLDEN_LIST_MAX	 (256u << 20)
#define GOLDEN_TIMED_OUT 124 /* the status then, as of timeout(1) */

/* Append `len` bytes of output, up to `most` in all; *dropped counts the rest. */
void golden_output_add(struct buf *output, size_t most, const void *data, size_t len,
		       uint64_t *dropped);
/* Behind all output: a line about what was dropped, if anything. */
void golden_output_end(struct buf *output, uint64_t dropped);

/* Where commands of the host run. */
struct test_host {
	char *const *env; /* their environment */
	int stop_fd;	  /* readable once the test is to end at once; -1: never */
};

/* Whether that is so. */
bool test_is_stopped(int stop_fd);

/* What a program is started with, beside its arguments. */
struct host_program {
	const char *path;
	const char *const *argv; /* ends with NULL */
	char *const *env;	 /* ends with NULL */
	int out, messages;	 /* its standard output, and its standard error */
	int keep[2];		 /* descriptors that it has under the same numbers; -1: none */
};

/* Start it in a process group of its own, with an empty standard input and the signals that we block
 * or ignore as they are by default. Returns 0 or an errno. */
int host_program_spawn(const struct host_program *program, pid_t *pid);

struct host_follow {
	int fd;		  /* that its messages arrive at */
	int stop_fd;	  /* -1: none */
	bool gently;	  /* then it has ten seconds to end by SIGTERM before it is killed */
	unsigned seconds; /* before it is killed */
};

/*
 * Read what it prints, until it ends: *wstatus. When its time is over first it is killed with what
 * it has started: *timed_out. What it leaves in the background may go on, and is not waited for.
 * Returns 0; -ECANCELED when stop_fd became readable, -ENOMEM or the errno of poll(2): then it was
 * ended, too.
 */
int host_program_follow(pid_t pid, const struct host_follow *how, struct buf *output, int *wstatus,
			bool *timed_out);

/* Run a command of a test: its output, and its exit status, 128 and the signal that ended it, or
 * GOLDEN_TIMED_OUT. Returns 0, what host_program_follow() gives, or the errno of pipe2(2) or
 * posix_spawn(3). */
int host_command_run(const char *command, const struct test_host *host, unsigned seconds,
		     struct buf *output, int *status, struct err *err);

#endif
