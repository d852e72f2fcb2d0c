/*
 * The TCP connections of a card and their end after a resume; see net_flows.h. Machine lock held.
 *
 * A dense array, searched from its front: there are few, and a found one moves one place forward,
 * so that the busy ones come first.
 */
#include "devices/net/net_flows.h"

#include <linux/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <string.h>

#include "base/num.h"

#define FLOW(member, tag)  STATE_SCALAR(struct net_flow, member, tag, 1, 0)
#define BYTES(member, tag) STATE_ARRAY(struct net_flow, member, tag, 1, STATE_HEX)

static const struct state_field flow_fields[] = {
	BYTES(guest_mac, 1), BYTES(peer_mac, 2), BYTES(guest, 3),   BYTES(peer, 4),
	FLOW(guest_port, 5), FLOW(peer_port, 6), FLOW(seq, 7),	    FLOW(ack, 8),
	FLOW(sent, 9),	     FLOW(age, 10),	 FLOW(version, 11), FLOW(closed, 12),
	FLOW(mss, 13),
};

static const struct state_table flow_table =
	STATE_TABLE("net-flow", 1, struct net_flow, flow_fields);

static const struct state_field flows_fields[] = {
	STATE_SCALAR(struct net_flows, n, 1, 1, 0),
	STATE_SCALAR(struct net_flows, clock, 2, 1, 0),
	STATE_VSTRUCT(struct net_flows, flow, n, 3, 1, &flow_table),
};

const struct state_table net_flows_table =
	STATE_TABLE("net-flows", 1, struct net_flows, flows_fields);

/* What a TCP segment says, with the flow that it belongs to. */
struct segment {
	struct net_flow flow; /* addresses and ports alone */
	uint32_t seq;
	uint32_t next; /* behind its data, SYN and FIN */
	uint32_t ack;
	uint16_t mss;
	uint8_t flags;
	bool data;
};

#define MSS_DEFAULT 536u /* of a SYN that names none */

/* a is behind b in the sequence space. */
static bool is_later(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) > 0;
}

/* Fill `s` from a frame that the guest sent, or that is sent to it. A frame with a VLAN tag is not
 * looked at: libslirp drops it. */
static bool read_segment(const uint8_t *frame, size_t len, bool from_guest, struct segment *s)
{
	const uint8_t *tcp, *from, *to;
	struct net_packet p;
	size_t width, mss;

	if (!net_parse(frame, len, &p) || p.l4 == 0 || p.protocol != IPPROTO_TCP ||
	    p.ip != ETH_HLEN)
		return false;
	*s = (struct segment){.flow.version = p.ethertype == ETH_P_IP ? 4 : 6};
	width = s->flow.version == 4 ? 4 : 16;
	from = frame + p.ip + (width == 4 ? 12 : 8);
	to = from + width;
	tcp = frame + p.l4;
	memcpy(s->flow.guest, from_guest ? from : to, width);
	memcpy(s->flow.peer, from_guest ? to : from, width);
	memcpy(s->flow.guest_mac, frame + (from_guest ? ETH_ALEN : 0), ETH_ALEN);
	memcpy(s->flow.peer_mac, frame + (from_guest ? 0 : ETH_ALEN), ETH_ALEN);
	s->flow.guest_port = be_get16(tcp + (from_guest ? 0 : 2));
	s->flow.peer_port = be_get16(tcp + (from_guest ? 2 : 0));
	s->flags = tcp[13];
	s->seq = be_get32(tcp + 4);
	s->ack = be_get32(tcp + 8);
	s->data = p.end > p.payload;
	mss = net_mss_offset(frame, &p);
	s->mss = mss != 0 ? be_get16(frame + mss) : 0;
	if (s->mss == 0)
		s->mss = MSS_DEFAULT;
	s->next = s->seq + (uint32_t)(p.end - p.payload) + !!(s->flags & TH_SYN) +
		  !!(s->flags & TH_FIN);
	return true;
}

static bool is_same(const struct net_flow *a, const struct net_flow *b)
{
	return a->guest_port == b->guest_port && a->peer_port == b->peer_port &&
	       a->version == b->version && memcmp(a->peer, b->peer, sizeof(a->peer)) == 0 &&
	       memcmp(a->guest, b->guest, sizeof(a->guest)) == 0;
}

static struct net_flow *find_flow(struct net_flows *flows, const struct net_flow *wanted)
{
	struct net_flow *flow = flows->flow, swap;

	for (uint32_t i = 0; i < flows->n; i++, flow++) {
		if (!is_same(flow, wanted))
			continue;
		if (i == 0)
			return flow;
		swap = flow[-1];
		flow[-1] = *flow;
		*flow = swap;
		return flow - 1;
	}
	return NULL;
}

static void remove_flow(struct net_flows *flows, struct net_flow *flow)
{
	*flow = flows->flow[--flows->n];
	memset(&flows->flow[flows->n], 0, sizeof(*flow));
}

/* A free entry, or the oldest one. */
static struct net_flow *allocate_flow(struct net_flows *flows)
{
	struct net_flow *oldest = &flows->flow[0];

	if (flows->n < NET_FLOWS_MAX)
		return &flows->flow[flows->n++];
	for (uint32_t i = 1; i < flows->n; i++) {
		if (flows->clock - flows->flow[i].age > flows->clock - oldest->age)
			oldest = &flows->flow[i];
	}
	return oldest;
}

enum closed {
	CLOSED_BY_GUEST = 1,
	CLOSED_BY_PEER = 2,
	CLOSED = CLOSED_BY_GUEST | CLOSED_BY_PEER,
};

/* The flow that the segment goes on with. A reset ends it, and so does what follows both FINs,
 * unless it is one of them again. */
static struct net_flow *current_flow(struct net_flows *flows, const struct segment *s)
{
	struct net_flow *flow = find_flow(flows, &s->flow);

	if (flow == NULL)
		return NULL;
	if (!(s->flags & TH_RST) && (flow->closed != CLOSED || s->flags & (TH_FIN | TH_SYN)))
		return flow;
	remove_flow(flows, flow);
	return NULL;
}

void net_flows_note(struct net_flows *flows, const uint8_t *frame, size_t len)
{
	struct net_flow *flow;
	struct segment s;

	if (!read_segment(frame, len, true, &s))
		return;
	flow = current_flow(flows, &s);
	if (flow == NULL && (s.flags & TH_RST || !(s.flags & TH_SYN || s.data)))
		return;
	if (flow == NULL)
		flow = allocate_flow(flows);
	if (s.flags & TH_SYN || !is_same(flow, &s.flow)) {
		*flow = s.flow;
		flow->mss = s.flags & TH_SYN ? s.mss : MSS_DEFAULT;
		flow->seq = s.next;
		flow->ack = flow->sent = s.flags & TH_ACK ? s.ack : 0;
	}
	if (is_later(s.next, flow->seq))
		flow->seq = s.next;
	/* The first acknowledgement says where the peer begins. */
	if (s.flags & TH_ACK && (flow->ack == 0 || is_later(s.ack, flow->ack)))
		flow->ack = s.ack;
	if (flow->sent == 0 || is_later(flow->ack, flow->sent))
		flow->sent = flow->ack;
	if (s.flags & TH_FIN)
		flow->closed |= CLOSED_BY_GUEST;
	flow->age = ++flows->clock;
}

const struct net_flow *net_flows_note_peer(struct net_flows *flows, const uint8_t *frame,
					   size_t len)
{
	struct net_flow *flow;
	struct segment s;

	if (!read_segment(frame, len, false, &s))
		return NULL;
	flow = current_flow(flows, &s);
	if (flow == NULL)
		return NULL;
	if (s.flags & TH_SYN || is_later(s.next, flow->sent))
		flow->sent = s.next;
	if (s.flags & TH_FIN)
		flow->closed |= CLOSED_BY_PEER;
	return flow;
}

bool net_flows_open(const struct net_flows *flows, uint16_t guest_port, uint16_t peer_port)
{
	for (uint32_t i = 0; i < flows->n; i++) {
		const struct net_flow *flow = &flows->flow[i];

		if (flow->closed == 0 && flow->guest_port == guest_port &&
		    (peer_port == 0 || flow->peer_port == peer_port))
			return true;
	}
	return false;
}

bool net_flows_valid(const struct net_flows *flows)
{
	for (uint32_t i = 0; i < flows->n; i++) {
		const struct net_flow *flow = &flows->flow[i];

		if ((flow->version != 4 && flow->version != 6) || flow->closed > CLOSED ||
		    flow->mss == 0)
			return false;
	}
	return flows->n <= NET_FLOWS_MAX;
}

static size_t put_ip_header(uint8_t *ip, const struct net_flow *flow)
{
	uint16_t sum;

	if (flow->version == 4) {
		ip[0] = 0x45;
		be_put16(ip + 2, sizeof(struct iphdr) + sizeof(struct tcphdr));
		ip[8] = IPDEFTTL;
		ip[9] = IPPROTO_TCP;
		memcpy(ip + 12, flow->peer, 4);
		memcpy(ip + 16, flow->guest, 4);
		sum = (uint16_t)~net_sum_fold(net_sum(ip, sizeof(struct iphdr), 0));
		memcpy(ip + 10, &sum, sizeof(sum));
		return sizeof(struct iphdr);
	}
	ip[0] = 0x60;
	be_put16(ip + 4, sizeof(struct tcphdr));
	ip[6] = IPPROTO_TCP;
	ip[7] = IPDEFTTL;
	memcpy(ip + 8, flow->peer, 16);
	memcpy(ip + 24, flow->guest, 16);
	return sizeof(struct ip6_hdr);
}

#define RESET_MAX (ETH_HLEN + sizeof(struct ip6_hdr) + sizeof(struct tcphdr))

static size_t make_reset(uint8_t frame[static RESET_MAX], const struct net_flow *flow, uint32_t seq)
{
	struct net_packet packet;
	uint8_t *tcp;
	uint16_t sum;
	size_t len;

	memset(frame, 0, RESET_MAX);
	memcpy(frame, flow->guest_mac, ETH_ALEN);
	memcpy(frame + ETH_ALEN, flow->peer_mac, ETH_ALEN);
	be_put16(frame + 12, flow->version == 4 ? ETH_P_IP : ETH_P_IPV6);
	tcp = frame + ETH_HLEN + put_ip_header(frame + ETH_HLEN, flow);
	be_put16(tcp, flow->peer_port);
	be_put16(tcp + 2, flow->guest_port);
	be_put32(tcp + 4, seq);
	be_put32(tcp + 8, flow->seq);
	tcp[12] = sizeof(struct tcphdr) / 4 << 4;
	tcp[13] = TH_RST | TH_ACK;
	len = (size_t)(tcp - frame) + sizeof(struct tcphdr);
	(void)net_parse(frame, len, &packet);
	sum = (uint16_t)~net_sum_fold(
		net_sum(tcp, sizeof(struct tcphdr), net_pseudo_sum(frame, &packet)));
	memcpy(tcp + 16, &sum, sizeof(sum));
	return len;
}

int net_flows_reset(struct net_flows *flows, net_emit_fn *emit, void *opaque)
{
	uint8_t frame[RESET_MAX];
	int ret;

	while (flows->n > 0) {
		struct net_flow *flow = &flows->flow[flows->n - 1];

		ret = emit(opaque, frame, make_reset(frame, flow, flow->ack));
		if (ret != 0)
			return ret;
		if (flow->sent != flow->ack) {
			ret = emit(opaque, frame, make_reset(frame, flow, flow->sent));
			if (ret != 0)
				return ret;
		}
		remove_flow(flows, flow);
	}
	return 0;
}
