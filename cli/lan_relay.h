/*
 * Bytes between this host's switch and another, both ways, until either end is over. The greeting
 * that passes by (devices/net/net_lan_wire.h) is listened to, so that it can be said how it went.
 */
#ifndef TORPOR_CLI_LAN_RELAY_H
#define TORPOR_CLI_LAN_RELAY_H

#include <stdbool.h>

#include "base/err.h"

struct relay {
	int lan;     /* the switch's trunk socket */
	int in, out; /* the other's; the same one, if it is a socket. Blocking, all of them */
	bool tell;   /* print "joined" once they are */
};

/* Connect to the trunk socket of a LAN of this host. */
int relay_open(struct relay *relay, const char *name, struct err *err);
/* Returns 0 when the two were joined and that is over; else why they were not: -EPIPE when the
 * other side hung up, without a word. `lan` is closed, the others are not; when `in` is no socket,
 * a thread goes on reading it. */
int relay_run(struct relay *relay, struct err *err);

#endif
