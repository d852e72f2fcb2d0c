/*
 * Copies bytes between this host's switch and another, both ways, until either end is over. It
 * reads the greeting that passes (devices/net/net_lan_wire.h), to report whether the two were
 * joined.
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

/* Connect to the trunk socket of a LAN of this host. Returns 0; -ENOENT with ERR_NOT_FOUND when
 * there is no such LAN; or what path_lan(), path_lans_check() and unix_connect() give. */
int relay_open(struct relay *relay, const char *name, struct err *err);
/* Returns 0 when the two were joined and that is over; -EINVAL with ERR_FAILED and the reason when
 * one side refused; -EPIPE when the other side hung up without a reason; -ENOMEM; or the error of
 * pipe2(2) or pthread_create(3). `lan` is closed, the others are not; when `in` is no socket,
 * a thread goes on reading it. */
int relay_run(struct relay *relay, struct err *err);

#endif
