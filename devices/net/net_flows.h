/*
 * The TCP connections that end in this host's sockets (net_user). They do not survive a save, and
 * the guest does not know that: after a resume each is reset, so that no program of the guest waits
 * for an answer until a timeout.
 *
 * net_flows_note() looks at every frame that the guest sends; the table is part of the card's saved
 * state, bounded, oldest forgotten first. net_flows_reset() makes TCP RSTs. The guest accepts an
 * RST only with exactly the sequence number that it expects (RFC 5961 §3.2). That is what it
 * acknowledged last, unless it has received more and was saved before it acknowledged that. For
 * this case there is a second RST, behind all that the peer sent: its number is exact, or it is in
 * the window; then the guest sends a challenge ACK, and the new network, which has no such
 * connection, answers with an RST that is exact.
 *
 * Machine lock held.
 */
#ifndef TORPOR_DEVICES_NET_NET_FLOWS_H
#define TORPOR_DEVICES_NET_NET_FLOWS_H

#include "devices/net/net_offload.h"
#include "state/state.h"

#define NET_FLOWS_MAX 256u

/* Addresses as in the packet; IPv4 in the first 4 bytes. */
struct net_flow {
	uint8_t guest_mac[NET_MAC_SIZE];
	uint8_t peer_mac[NET_MAC_SIZE];
	uint8_t guest[16];
	uint8_t peer[16];
	uint16_t guest_port;
	uint16_t peer_port;
	uint32_t seq;	 /* the guest's next, */
	uint32_t ack;	 /* and what it acknowledged last */
	uint32_t sent;	 /* the peer's next */
	uint32_t age;	 /* the higher, the more recent */
	uint8_t version; /* 4 or 6 */
	uint8_t closed;	 /* FIN was seen; 1: the guest's, 2: the peer's */
	uint16_t mss;	 /* the longest segment that the guest wants (RFC 9293 §3.7.1) */
};

struct net_flows {
	uint32_t n;
	uint32_t clock; /* of `age` */
	struct net_flow flow[NET_FLOWS_MAX];
};

extern const struct state_table net_flows_table;

/* A frame from the guest, whole, without its virtio header: SYN and data add or renew a flow, RST
 * and what follows both FINs remove it. */
void net_flows_note(struct net_flows *flows, const uint8_t *frame, size_t len);
/* A frame that the guest is given. The peer's FIN and RST end a flow too. The flow that it belongs
 * to, until the next call; NULL: none that is known. */
const struct net_flow *net_flows_note_peer(struct net_flows *flows, const uint8_t *frame,
					   size_t len);
/* Whether the guest has accepted a connection to its port, or has made one from there, which neither
 * side has closed. `peer_port` 0: whosever. */
bool net_flows_open(const struct net_flows *flows, uint16_t guest_port, uint16_t peer_port);
/* Whether net_flows_note() can have left this behind. For state that comes from a file. */
bool net_flows_valid(const struct net_flows *flows);
/* Give complete RST frames for the guest (no virtio header, at most 74 bytes), one or two a flow,
 * to `emit`, and forget the flow once they are taken. Returns 0, or what emit returned other than
 * 0; that ends it: call again later. */
int net_flows_reset(struct net_flows *flows, net_emit_fn *emit, void *opaque);

#endif
