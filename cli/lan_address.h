/* Where two LANs meet: `unix:PATH` or `tcp:ADDR:PORT`, an IPv6 address in brackets. */
#ifndef TORPOR_CLI_LAN_ADDRESS_H
#define TORPOR_CLI_LAN_ADDRESS_H

#include "base/err.h"

/* Both give a blocking stream socket. */
int lan_address_connect(const char *text, struct err *err);
int lan_address_listen(const char *text, struct err *err);

/* After listening: what to connect to, for the port may have been 0. */
struct lan_address_text {
	char text[160];
};
void lan_address_of(int fd, const char *given, struct lan_address_text *address);

/* Frames are not to wait for company, and a peer that vanished is to be noticed. */
void lan_address_tune(int fd);

#endif
