/* The live appliance of a machine that a verb has made for itself: saved, and warmed. One thread. */
#ifndef TORPOR_CLI_LIVE_FILE_H
#define TORPOR_CLI_LIVE_FILE_H

#include "cli/own_machine.h"

struct live_file {
	const char *verb;   /* for the meter */
	const char *output; /* the file that appears, - for standard output; NULL: */
	int fd;		    /* an empty one that is open, and it is not warmed */
	bool trim, flat;    /* as options of torpor save */
	unsigned level;	    /* of packing; 0: the usual one */
	unsigned warm;	    /* for so many seconds; 0: not */
	int stop_fd;	    /* readable once it is to end; -1: never */
};

/* Make it; then the machine is over. Behind an error `output` is as it was, unless it is standard
 * output. Returns what own_program_do() and tempfile_unnamed() give. */
int live_file_make(const struct live_file *f, const struct own_machine *m, struct err *err);

#endif
