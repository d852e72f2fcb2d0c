/*
 * The switch of a virtual LAN: it learns which station is behind which port and forwards frames,
 * large ones whole. One process holds one LAN; two LANs are not connected, unless by a trunk.
 *
 * What arrives is forwarded at once: a read and a write at low load; under load up to 256 KiB by
 * one call each, because messages to one destination lie one behind the other as they came.
 *
 * Nothing is lost to a destination that is merely slow. A source that has a frame for it waits. It
 * is not read meanwhile, so that its socket fills and its guest has to wait, too. The other sources
 * go on. Sources that wait for one destination take turns of at most 256 KiB. Sources do not wait
 * for a destination that has taken nothing for 200 ms (a paused machine): frames to it are dropped
 * until it does. Broadcasts and frames to unknown stations never wait; each source may leave 64 KiB
 * of them with a busy destination.
 *
 * lan_switch_new → lan_switch_plug for each connection, while the loop runs → lan_switch_free.
 * Loop thread, under the loop's lock. Functions that return int return 0, ERR_FAILED when all ports
 * are taken, -ENOMEM, or the errno of getrandom(2), timerfd_create(2) or epoll_ctl(2). The others
 * cannot fail. A port that is lost is freed at the end of the loop's round.
 */
#ifndef TORPOR_LAN_SWITCH_H
#define TORPOR_LAN_SWITCH_H

#include "base/log.h"
#include "base/loop.h"
#include "lan/gateway.h"
#include "lan/port.h"

struct lan_params {
	const char *name;
	const struct gateway_params *gateway; /* NULL: no DHCP, no DNS */
	struct log log;
};

int lan_switch_new(struct lan_switch **lan, struct loop *loop, const struct lan_params *params,
		   struct err *err);
void lan_switch_free(struct lan_switch *lan);

/* A new connection of that kind: a Unix stream socket, taken over, also on failure. */
int lan_switch_plug(struct lan_switch *lan, int fd, enum port_kind kind, struct err *err);

/* To look at: the ports that are up, in no order that means anything. */
typedef void lan_port_fn(void *opaque, const struct port *port);
void lan_switch_each_port(struct lan_switch *lan, lan_port_fn *fn, void *opaque);
/* NULL: it has none. */
const struct gateway *lan_switch_gateway(const struct lan_switch *lan);
unsigned lan_switch_stations(struct lan_switch *lan, const struct port *port,
			     uint8_t macs[][NET_MAC_SIZE], unsigned max);

#endif
