/* Joining the LAN of another host: `torpor lan serve` and `torpor lan join`, which stay as long as
 * the two are joined. */
#ifndef TORPOR_CLI_LAN_JOIN_H
#define TORPOR_CLI_LAN_JOIN_H

#include "base/err.h"

/* On the standard streams. */
int lan_serve(const char *name, struct err *err);
/* Whoever connects to the address. */
int lan_serve_at(const char *name, const char *address, struct err *err);

int lan_join_at(const char *name, const char *address, struct err *err);
/* With the other side at the standard streams of this command. */
int lan_join_command(const char *name, char *const argv[], struct err *err);

#endif
