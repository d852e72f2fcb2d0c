/*
 * A golden from a recipe: boot, wait, run its commands, save, warm. One thread, and
 * stop_signals_watch() before it.
 */
#ifndef TORPOR_CLI_GOLDEN_RECORD_H
#define TORPOR_CLI_GOLDEN_RECORD_H

#include "golden/recording.h"

struct golden_job {
	struct recording *recording; /* was read */
	const char *from;   /* in place of the FILE that its head begins with; NULL: that */
	bool update;	    /* what differs is no failure */
	int stop_fd;	    /* readable once all is to end */
	const char *output; /* the file that appears; NULL: */
	int file;	    /* an empty one that is open, and it is not warmed */
};

/* Afterwards recording_differs() tells whether what the commands print is something else; then
 * nothing was saved, or with job->update the recipe was rewritten first. Returns 0; ERR_USAGE when
 * `from` is given and the head names no FILE; -ECANCELED; ERR_FAILED with the words of the verb
 * that failed; or what the functions of own_machine.h, recording_run(), recording_accept(),
 * test_golden_find() and tempfile_unnamed() give. No machine is left in any case; behind an error,
 * job->output is as it was. */
int golden_make(const struct golden_job *job, struct err *err);

#endif
