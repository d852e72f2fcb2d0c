/*
 * What the network cards of a machine are connected to: the choice, made before the machine is
 * (instance_net.c opens the back ends). The n-th connection is the n-th card's. Plain data; only
 * connections_bind() can fail.
 */
#ifndef TORPOR_INSTANCE_CONNECTIONS_H
#define TORPOR_INSTANCE_CONNECTIONS_H

#include "devices/net/net_user.h"
#include "format/appliance.h"

enum net_kind {
	NET_NONE,
	NET_USER,
	NET_TAP,
	NET_LAN,
};

/* The word for it in options and in JSON. */
const char *net_kind_name(enum net_kind kind);

struct connection {
	enum net_kind kind;
	const char *name;   /* the tap's interface (NULL: a new one), or the LAN */
	bool host_loopback; /* of a user network: the guest reaches the host's loopback */
};

struct connections {
	unsigned n; /* of `card`; 0: nothing was chosen, or there is no card */
	struct connection card[APPLIANCE_MAX_NETS];
	unsigned nforwards; /* published by the first user network */
	struct net_forward forward[NET_MAX_FORWARDS];
	struct net_limits limits; /* of each card */
	const char *pcap;	  /* file for what passes the first card; NULL: none */
};

/* Whether the one choice is that there be no connection. */
bool connections_none(const struct connections *c);
/* Whether some card is to be connected so, or would be if nothing was chosen. */
bool connections_need(const struct connections *c, enum net_kind kind);

/* Say for each of the appliance's cards what it is connected to: by default the first to the user
 * network, the others to nothing. Returns 0, or -EINVAL (ERR_USAGE; the text names the option) when
 * something that was chosen has no card to go to. */
int connections_bind(struct connections *c, const struct appliance *a, struct err *err);

#endif
