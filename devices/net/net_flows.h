/*
 * The TCP connections that end in this host's sockets (net_user). They do not survive a save, but
 * the guest does not know: on waking each is reset, so that nobody hangs until some keepalive.
 *
 * net_flows_note() looks at every frame that the guest sends; the table is part of the card's saved
 * state, bounded, oldest forgotten first. net_flows_reset() makes TCP RSTs. One is
 * heeded only exactly where the guest is (RFC 5961 §3.2): at what it acknowledged last, unless it
 * has received more and was saved before it said so. Then there is a second one, behind all that
 * the peer sent: it is exact, or in the window, and the guest's challenge is answered by the new
 * network, which knows no such connection, with a reset that is exact.
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
/* Could net_flows_note() have left this behind? For state that comes from a file. */
bool net_flows_valid(const struct net_flows *flows);
/* Give complete RST frames to the guest (no virtio header, at most 74 bytes), one or two a flow, to
 * `emit`, and forget the flow once they are taken; what emit returns other than 0 ends it and is
 * returned: call again later. */
int net_flows_reset(struct net_flows *flows, net_emit_fn *emit, void *opaque);

#endif
