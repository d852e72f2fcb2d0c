/*
 * The server's side of DHCP (RFC 2131, options of RFC 2132), a message in, a message out. Pure;
 * what comes is hostile.
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
