/* Where two LANs meet: `unix:PATH` or `tcp:ADDR:PORT`, an IPv6 address in brackets. */
#ifndef TORPOR_CLI_LAN_ADDRESS_H
#define TORPOR_CLI_LAN_ADDRESS_H

#include "base/err.h"

/* Both return a blocking stream socket; -EINVAL with ERR_USAGE for a malformed address, or with
 * ERR_FAILED for what getaddrinfo(3) does not find; -ENAMETOOLONG for a path that does not fit; or
 * the errno of socket(2), connect(2), bind(2) or listen(2). */
int lan_address_connect(const char *text, struct err *err);
int lan_address_listen(const char *text, struct err *err);

/* After listening: what to connect to, for the port may have been 0. */
struct lan_address_text {
	char text[160];
};
void lan_address_of(int fd, const char *given, struct lan_address_text *address);

/* Send frames without delay (TCP_NODELAY), and notice a peer that vanished (keepalive). */
void lan_address_tune(int fd);

#endif
