/*
 * `--net lan=NAME`: a port of a virtual LAN's switch (lan/), over its socket.
 */
#ifndef TORPOR_DEVICES_NET_NET_LAN_H
#define TORPOR_DEVICES_NET_NET_LAN_H

#include "base/log.h"
#include "base/loop.h"
#include "devices/net/net.h"

struct net_lan_params {
	const char *socket;  /* path of the switch's socket for machines */
	const char *lan;     /* its name, for errors */
	const char *machine; /* its name, which the switch shows to other machines */
	uint8_t mac[NET_MAC_SIZE];
};

/* Connect and join; blocks for the switch's answer, a second at most. Returns 0; 1 when the switch
 * has not answered by then, with a line in the log: the card's link is down until it does; -ENOENT
 * with ERR_NOT_FOUND when there is no such LAN; -EINVAL with ERR_FAILED when the switch hangs up or
 * refuses (with its reason, for example that a card with this MAC is there already); -ENAMETOOLONG
 * for the socket's path; -ENOMEM; -EPIPE when the greeting cannot be sent; or what
 * unix_connect() gave. `log` is kept. */
int net_lan_open(struct net_backend **out, struct loop *loop, const struct log *log,
		 const struct net_lan_params *params, struct err *err);

#endif
