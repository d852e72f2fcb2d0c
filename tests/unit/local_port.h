/*
 * A console port whose guest is this machine: a terminal is the file that a program here opens
 * instead. Behind a character device, on a loop.
 */
#ifndef TORPOR_TESTS_UNIT_LOCAL_PORT_H
#define TORPOR_TESTS_UNIT_LOCAL_PORT_H

#include "base/timer.h"
#include "devices/chardev.h"

struct local_port {
	struct chardev port;
	char name[64]; /* of the file */
	int fd;
	bool open;	    /* a program has it open */
	struct timer timer; /* looks for that, and for bytes: terminals do not tell both */
};

/* Lock of the loop held for all of these. */
void local_port_init(struct local_port *p, struct loop *loop);
void local_port_free(struct local_port *p);

#endif
