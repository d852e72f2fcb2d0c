/*
 * The leases of a DHCP server. A station keeps its address as long as there are others to give:
 * expired leases are remembered, so that a machine that was saved and resumed gets its own again.
 *
 * A port may hold LEASES_SHARE addresses. A port can be a machine with nested guests, or a whole
 * LAN behind a trunk. Pure; times are seconds, addresses IPv4 in host order. Nothing here fails:
 * NULL means that there is no such lease. Leases are borrowed from the table and stay in their
 * place.
 */
#ifndef TORPOR_LAN_LEASE_H
#define TORPOR_LAN_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/net/net.h"

#define LEASES_MAX     1024u
#define LEASES_SHARE   128u
#define LEASE_NAME     64u
#define LEASE_TIME     3600u /* of a lease */
#define LEASE_OFFER    60u   /* that an offer is kept */
#define LEASE_DECLINED 600u  /* that an address is not given after a station found it in use */

struct lease {
	uint32_t address;	   /* 0: free */
	uint8_t mac[NET_MAC_SIZE]; /* all zero: of a declined address */
	uint16_t port;
	uint32_t until;
	bool bound;	       /* acknowledged, not just offered */
	bool trusted;	       /* the name is the machine's, not what the guest called itself */
	char name[LEASE_NAME]; /* "": none */
};

struct leases {
	uint32_t network;
	unsigned prefix;
	uint32_t first, last; /* to be given */
	struct lease lease[LEASES_MAX];
};

/* `first` to `last` are to be given, of the network's addresses; at most LEASES_MAX of them are. */
void leases_init(struct leases *leases, uint32_t network, unsigned prefix);
uint32_t leases_mask(const struct leases *leases);

/* The station's lease, over or not; NULL: it never had one, or another station has its address
 * now. */
struct lease *lease_of(struct leases *leases, const uint8_t mac[NET_MAC_SIZE]);
/* The station's lease: its old one, or an address that is free, `requested` if that is (0: any).
 * NULL: there is none for it, or the port holds LEASES_SHARE already. A new one, and one that was
 * over, is offered for LEASE_OFFER seconds. `mac` is a station's: not all zero. */
struct lease *lease_take(struct leases *leases, const uint8_t mac[NET_MAC_SIZE], unsigned port,
			 uint32_t requested, uint32_t now);
/* The lease of a station that says it has this address already. NULL, and it may not keep it: the
 * address is another's or none of ours, the station has another, or the port holds LEASES_SHARE
 * already. */
struct lease *lease_adopt(struct leases *leases, const uint8_t mac[NET_MAC_SIZE], unsigned port,
			  uint32_t address, uint32_t now);
/* Another station uses the address: it is not given for LEASE_DECLINED seconds. */
void lease_decline(struct lease *lease, uint32_t now);

/* Set its name. A trusted name is taken from the lease that has it; another name is set only if no
 * lease has it. */
void lease_name(struct leases *leases, struct lease *lease, const char *name, bool trusted);
/* The lease with this name in upper or lower case, or NULL. */
const struct lease *lease_named(const struct leases *leases, const char *name, uint32_t now);

#endif
