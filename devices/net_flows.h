/*
 * The TCP connections that end in this host's sockets (net_user). They do not survive a save, but
 * the guest does not know: on waking each is reset, so that nobody hangs until some keepalive.
 *
 * net_flows_note() looks at every frame that the guest sends; the table is part of the card's saved
 * state, bounded, oldest forgotten first. net_flows_reset() makes one TCP RST a flow, in the
 * window (RFC 5961 §3.2: exactly at what the guest acknowledged last).
 */
#ifndef TORPOR_DEVICES_NET_FLOWS_H
#define TORPOR_DEVICES_NET_FLOWS_H

#include "devices/net_offload.h"
#include "format/state.h"

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
	uint32_t ack;	 /* and what it expects next from the peer */
	uint32_t age;	 /* the higher, the more recent */
	uint8_t version; /* 4 or 6 */
	uint8_t pad[3];
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
/* The peer's FIN and RST end it too. */
void net_flows_note_peer(struct net_flows *flows, const uint8_t *frame, size_t len);
/* Give a complete RST frame to the guest for each flow to `emit`, and forget the flow once it is
 * taken; what emit returns other than 0 ends it and is returned: call again later. */
int net_flows_reset(struct net_flows *flows, net_emit_fn *emit, void *opaque);

#endif
