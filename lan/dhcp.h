/*
 * The server's side of DHCP (RFC 2131, options of RFC 2132), a message in, a message out. Pure but
 * for the gateway's leases; what comes is hostile. One thread a gateway.
 *
 * Cannot fail. There is no reply (len 0) to a message that is malformed, comes from a relay, is for
 * another server, releases or declines an address, or asks for one when none is left. A request for
 * an address that the station may not have is answered by DHCPNAK.
 */
#ifndef TORPOR_LAN_DHCP_H
#define TORPOR_LAN_DHCP_H

#include "lan/gateway.h"

#define DHCP_REPLY_MAX 576u

struct dhcp_reply {
	size_t len; /* 0: none */
	uint8_t data[DHCP_REPLY_MAX];
	uint32_t to;	/* IPv4, host order; all ones: broadcast */
	bool broadcast; /* of the Ethernet frame */
};

/* `data` is the payload of a UDP packet to port 67, from `query->frame`'s source address. */
void dhcp_answer(struct gateway *gateway, const struct gateway_query *query, const uint8_t *data,
		 size_t len, struct dhcp_reply *reply);

#endif
