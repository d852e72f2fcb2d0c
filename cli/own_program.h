/*
 * This program once more, in a process of its own that does a verb: for verbs that are made of
 * others. Any thread.
 */
#ifndef TORPOR_CLI_OWN_PROGRAM_H
#define TORPOR_CLI_OWN_PROGRAM_H

#include "base/buf.h"
#include "base/err.h"

/* Run `torpor ARGV[1] …` (ARGV[0] is the name; NULL ends it) to its end: what it prints on either
 * stream, with a NUL behind it, and its wait status. `lease`: a descriptor that it has under the
 * same number; -1: none. When stop_fd becomes readable it is killed; -1: never. Returns 0;
 * -ECANCELED when it was stopped; -ENOMEM; or the errno of pipe2(2), posix_spawn(3) or poll(2). */
int own_program_run(const char *const *argv, int lease, int stop_fd, struct buf *said, int *wstatus,
		    struct err *err);
/* The last line of what a verb said that failed, as an error of ours: -EINVAL with ERR_FAILED. */
int own_program_failed(const struct buf *said, struct err *err);

#endif
