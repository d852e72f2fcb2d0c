/*
 * A guest agent whose guest is this machine: it runs programs here and opens files here, as far as
 * guest/agent_files.c asks for it. Behind a character device, on a loop. A test may change an
 * answer before it is given.
 */
#ifndef TORPOR_TESTS_UNIT_LOCAL_AGENT_H
#define TORPOR_TESTS_UNIT_LOCAL_AGENT_H

#include <stdio.h>
#include <sys/types.h>

#include "base/buf.h"
#include "guest/agent.h"

#define LOCAL_FILES 64u

struct local_agent {
	struct chardev port;
	struct loop *loop;
	struct timer timer; /* until the next answer */
	bool open;
	bool mute; /* it answers nothing */
	struct buf heard;
	FILE *file[LOCAL_FILES]; /* by handle */
	pid_t pid;		 /* of the last program; -1: it was waited for */
	int status;
	int err_fd;	/* what it wrote to standard error */
	unsigned asked; /* questions */
	/* NULL: none. The answer to a command instead of the right one: the text of a line, to be
	 * freed, or NULL for the right one. */
	char *(*lie)(const char *command);
};

/* Returns with the port closed. Lock of the loop held for all of these. */
void local_agent_init(struct local_agent *a, struct loop *loop);
void local_agent_open(struct local_agent *a, bool open);
void local_agent_free(struct local_agent *a);

#endif
