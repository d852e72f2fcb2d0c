/*
 * The LAN's own host, inside the switch: it gives addresses (DHCP), tells them by name (DNS), and
 * answers ARP and ICMP echo for itself. It forwards no packets: the LAN has no router.
 *
 *     gateway_parse_cidr | gateway_default_cidr → gateway_new → gateway_answer … → gateway_free
 *
 * A frame in, at most one frame out, to where the question came from. Pure but for its memory of
 * leases, which is bounded for each port too: no port can take all addresses. Frames are hostile;
 * what is not understood is ignored. Checksums of what comes are not looked at: between virtual
 * cards they need not be there. One thread a gateway.
 */
#ifndef TORPOR_LAN_GATEWAY_H
#define TORPOR_LAN_GATEWAY_H

#include <netinet/in.h>

#include "devices/net/net.h"
#include "lan/lease.h"

#define GATEWAY_REPLY_MAX 1514u

struct gateway_params {
	uint32_t network; /* IPv4, host order; the gateway has the first address behind it */
	unsigned prefix;  /* 16 to 29 */
	uint32_t dns;	  /* the server that machines are told; 0: the gateway */
};

struct gateway_query {
	const uint8_t *frame; /* at least an Ethernet header */
	size_t len;
	unsigned port;
	const char *name; /* of the machine that has the frame's source address; NULL: unknown */
	uint32_t now;	  /* seconds */
};

struct gateway {
	uint8_t mac[NET_MAC_SIZE];
	uint32_t address; /* host order, as all of these */
	uint32_t dns;
	struct leases leases;
};

/* "10.1.2.0/24". Returns 0, or -EINVAL with ERR_USAGE: it is no network, or not of /16 to /29. Sets
 * `network` and `prefix`. */
int gateway_parse_cidr(struct gateway_params *params, const char *text, struct err *err);
/* A /24 of 10.77.0.0/16 that this name has on every host. Cannot fail. */
void gateway_default_cidr(struct gateway_params *params, const char *name);

/* Returns 0, -ENOMEM, or the errno of getrandom(2). */
int gateway_new(struct gateway **gateway, const struct gateway_params *params, struct err *err);
void gateway_free(struct gateway *gateway); /* NULL will do */

/* The length of the answer, 0: none. Cannot fail. */
size_t gateway_answer(struct gateway *gateway, const struct gateway_query *query,
		      uint8_t reply[GATEWAY_REPLY_MAX]);

#endif
