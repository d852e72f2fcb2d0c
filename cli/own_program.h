/*
 * This program once more, in a process of its own that does a verb: for verbs that are made of
 * others. Any thread.
 */
#ifndef TORPOR_CLI_OWN_PROGRAM_H
#define TORPOR_CLI_OWN_PROGRAM_H

#include "base/buf.h"
#include "base/err.h"

struct own_program {
	const char *const *argv; /* `torpor`, the verb and so on; ends with NULL */
	int keep[2];  /* descriptors that it has under the same numbers; the first -1 ends them */
	int out;      /* its standard output; -1: it counts as what it says */
	int stop_fd;  /* it is ended when that becomes readable; -1: never */
	bool endless; /* it takes as long as it takes; else it is killed after an hour */
};

/* Run it to its end: what it says on standard error, and on standard output unless that goes
 * elsewhere, with a NUL behind it; and its wait status. Returns 0; -ECANCELED when it was stopped;
 * -ENOMEM; or the errno of pipe2(2), posix_spawn(3) or poll(2). */
int own_program_run(const struct own_program *own, struct buf *said, int *wstatus, struct err *err);
/* The same, and that it succeeds: else -EINVAL with ERR_FAILED and the last line that it said. */
int own_program_do(const struct own_program *own, struct err *err);
/* As own_program_do(), and what it says is kept, as by own_program_run(). */
int own_program_do_hearing(const struct own_program *own, struct buf *said, struct err *err);
/* The last line of what a verb said that failed, or how its process ended, as an error of ours:
 * -EINVAL with ERR_FAILED. */
int own_program_failed(const struct buf *said, int wstatus, struct err *err);

#endif
