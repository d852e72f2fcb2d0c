/*
 * The LAN's own host, inside the switch: it gives addresses (DHCP), tells them by name (DNS), and
 * answers ARP and ICMP echo for itself. It leads nowhere: the LAN has no router.
 *
 * A frame in, at most one frame out, to where the question came from. Pure but for its memory of
 * leases, which is bounded, by port too: nobody can take all addresses. Frames are hostile; what is
 * not understood is ignored. Checksums of what comes are not looked at: between virtual cards they
 * need not be there.
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

/* "10.1.2.0/24". */
int gateway_parse_cidr(struct gateway_params *params, const char *text, struct err *err);
/* A network of 10.77.0.0/16 that this name has everywhere. */
void gateway_default_cidr(struct gateway_params *params, const char *name);

int gateway_new(struct gateway **gateway, const struct gateway_params *params, struct err *err);
void gateway_free(struct gateway *gateway); /* NULL will do */

/* The length of the answer, 0: none. */
size_t gateway_answer(struct gateway *gateway, const struct gateway_query *query,
		      uint8_t reply[GATEWAY_REPLY_MAX]);

#endif
