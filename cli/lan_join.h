/* Joining the LAN of another host: `torpor lan serve` and `torpor lan join`, which stay as long as
 * the two are joined.
 *
 * Errors are a negative errno with *err set: -ENOENT with ERR_NOT_FOUND when there is no LAN of
 * that name, or what client_open_lan(), lan_address_connect(), lan_address_listen(), relay_open()
 * and relay_run() give. The two lan_join functions never return 0: the end of a join is -EINVAL
 * with ERR_FAILED. */
#ifndef TORPOR_CLI_LAN_JOIN_H
#define TORPOR_CLI_LAN_JOIN_H

#include "base/err.h"

/* On the standard streams. Returns 0, or the exit status 125 when the two were not joined: the
 * other side has the reason. */
int lan_serve(const char *name, struct err *err);
/* Join every peer that connects to the address. One that cannot be joined is told on standard
 * error. Returns 0 when the LAN has ended; also the errno of poll(2). */
int lan_serve_at(const char *name, const char *address, struct err *err);

int lan_join_at(const char *name, const char *address, struct err *err);
/* With the other side at the standard streams of this command. Also the errno of socketpair(2) or
 * fork(2). */
int lan_join_command(const char *name, char *const argv[], struct err *err);

#endif
