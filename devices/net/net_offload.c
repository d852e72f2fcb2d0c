/*
 * Checksums, segmentation and the parsing of frames; see net_offload.h. Pure: owns nothing.
 *
 * A sum is taken over 16-bit words as they lie in memory and stored the same way, so byte order
 * does not matter (RFC 1071 §2 B). The compiler makes SSE2 or NEON of the vectors below.
 */
#include "devices/net/net_offload.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>

#include "base/num.h"

#define VLAN_TAG	  4u
#define MAX_EXTENSIONS	  8u
#define MAX_HEADERS	  256u /* of a frame that is cut: Ethernet, VLAN, IP with options, TCP */
#define TCP_CHECKSUM	  16u
#define FRAGMENT_OFFSET	  0x1fffu
#define FRAGMENT_OFFSET_6 0xfff8u

typedef uint64_t net_lanes __attribute__((vector_size(32), aligned(1), may_alias));

static uint32_t fold32(uint64_t sum)
{
	sum = (sum & UINT32_MAX) + (sum >> 32);
	return (uint32_t)((sum & UINT32_MAX) + (sum >> 32));
}

uint32_t net_sum(const uint8_t *data, size_t len, uint32_t sum)
{
	net_lanes lanes = {0};
	uint64_t total = sum;
	uint32_t half;

	/* A lane takes 2^31 blocks before it could overflow; a frame has 2^11. */
	for (; len >= sizeof(lanes); data += sizeof(lanes), len -= sizeof(lanes)) {
		const net_lanes block = *(const net_lanes *)data;

		lanes += (block & UINT32_MAX) + (block >> 32);
	}
	for (unsigned i = 0; i < 4; i++)
		total += fold32(lanes[i]);
	for (; len >= sizeof(half); data += sizeof(half), len -= sizeof(half)) {
		memcpy(&half, data, sizeof(half));
		total += half;
	}
	half = 0;
	memcpy(&half, data, len);
	return fold32(total + half);
}

uint16_t net_sum_fold(uint32_t sum)
{
	sum = (sum & UINT16_MAX) + (sum >> 16);
	sum = (sum & UINT16_MAX) + (sum >> 16);
	return (uint16_t)sum;
}

/* What is stored: the complement. */
static void put_checksum(uint8_t *p, uint32_t sum)
{
	uint16_t v = (uint16_t)~net_sum_fold(sum);

	memcpy(p, &v, sizeof(v));
}

const char *net_header_fault(const struct virtio_net_hdr_v1 *header, size_t len)
{
	bool sums = header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
	size_t start = le16toh(header->csum_start), offset = le16toh(header->csum_offset);

	if (sums && !range_within(start, offset + sizeof(uint16_t), len))
		return "its checksum lies outside of the frame";
	if (header->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return NULL;
	switch (header->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
	case VIRTIO_NET_HDR_GSO_TCPV6:
		break;
	default:
		return "it is to be cut in a way that was not offered";
	}
	if (!sums)
		return "it is to be cut, but has its checksum already";
	return header->gso_size == 0 ? "it is to be cut into nothing" : NULL;
}

void net_checksum(struct virtio_net_hdr_v1 *header, uint8_t *frame, size_t len)
{
	size_t start = le16toh(header->csum_start);
	uint8_t *at = frame + start + le16toh(header->csum_offset);

	if (!(header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return;
	header->flags &= (uint8_t)~VIRTIO_NET_HDR_F_NEEDS_CSUM;
	/* The field holds the sum of the pseudo header. */
	put_checksum(at, net_sum(frame + start, len - start, 0));
	/* To UDP zero means: none (RFC 768); to TCP both are the same. */
	if (at[0] == 0 && at[1] == 0)
		at[0] = at[1] = 0xff;
}

/* Find the TCP or UDP header at `at`, if it is whole. */
static void parse_l4(const uint8_t *frame, size_t at, struct net_packet *packet)
{
	size_t left = packet->end - at, header;

	switch (packet->protocol) {
	case IPPROTO_TCP:
		if (left < sizeof(struct tcphdr))
			return;
		header = (size_t)(frame[at + 12] >> 4) * 4;
		if (header < sizeof(struct tcphdr))
			return;
		break;
	case IPPROTO_UDP:
		header = sizeof(struct udphdr);
		break;
	default:
		return;
	}
	if (header > left)
		return;
	packet->l4 = at;
	packet->payload = at + header;
}

static bool parse_v4(const uint8_t *frame, size_t len, struct net_packet *packet)
{
	const uint8_t *ip = frame + packet->ip;
	size_t left = len - packet->ip, header, total;

	if (left < sizeof(struct iphdr) || ip[0] >> 4 != 4)
		return false;
	header = (size_t)(ip[0] & 15) * 4;
	total = be_get16(ip + 2);
	if (header < sizeof(struct iphdr) || total < header || total > left)
		return false;
	packet->end = packet->ip + total;
	packet->protocol = ip[9];
	if ((be_get16(ip + 6) & FRAGMENT_OFFSET) == 0)
		parse_l4(frame, packet->ip + header, packet);
	return true;
}

/* Go over the extension headers (RFC 8200 §4) to what is behind them. */
static bool parse_v6(const uint8_t *frame, size_t len, struct net_packet *packet)
{
	const uint8_t *ip = frame + packet->ip;
	size_t left = len - packet->ip, at = packet->ip + sizeof(struct ip6_hdr);
	bool first = true;

	if (left < sizeof(struct ip6_hdr) || ip[0] >> 4 != 6 ||
	    be_get16(ip + 4) > left - sizeof(struct ip6_hdr))
		return false;
	packet->end = at + be_get16(ip + 4);
	packet->protocol = ip[6];
	for (unsigned i = 0; i < MAX_EXTENSIONS && first; i++) {
		const uint8_t *extension = frame + at;

		switch (packet->protocol) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
		case IPPROTO_FRAGMENT:
			break;
		default:
			parse_l4(frame, at, packet);
			return true;
		}
		if (packet->end - at < 8)
			return false;
		if (packet->protocol == IPPROTO_FRAGMENT)
			first = (be_get16(extension + 2) & FRAGMENT_OFFSET_6) == 0;
		at += packet->protocol == IPPROTO_FRAGMENT ? 8 : 8 + (size_t)extension[1] * 8;
		packet->protocol = extension[0];
		if (at > packet->end)
			return false;
	}
	return true;
}

bool net_parse(const uint8_t *frame, size_t len, struct net_packet *packet)
{
	size_t at = ETH_HLEN;

	*packet = (struct net_packet){0};
	if (len < ETH_HLEN)
		return false;
	packet->ethertype = be_get16(frame + 12);
	if (packet->ethertype == ETH_P_8021Q) {
		at += VLAN_TAG;
		if (len < at)
			return false;
		packet->ethertype = be_get16(frame + 16);
	}
	packet->ip = at;
	if (packet->ethertype == ETH_P_IP && parse_v4(frame, len, packet))
		return true;
	if (packet->ethertype == ETH_P_IPV6 && parse_v6(frame, len, packet))
		return true;
	*packet = (struct net_packet){.ethertype = packet->ethertype};
	return false;
}

size_t net_mss_offset(const uint8_t *frame, const struct net_packet *packet)
{
	size_t at = packet->l4 + sizeof(struct tcphdr), width;

	while (at < packet->payload && frame[at] != TCPOPT_EOL) {
		if (frame[at] == TCPOPT_NOP) {
			at++;
			continue;
		}
		if (packet->payload - at < 2)
			break;
		width = frame[at + 1];
		if (width < 2 || width > packet->payload - at)
			break;
		if (frame[at] == TCPOPT_MAXSEG && width == TCPOLEN_MAXSEG)
			return at + 2;
		at += width;
	}
	return 0;
}

uint32_t net_pseudo_sum(const uint8_t *frame, const struct net_packet *packet)
{
	const uint8_t *ip = frame + packet->ip;
	size_t addresses = packet->ethertype == ETH_P_IP ? 8 : 32;
	uint8_t tail[4] = {0, packet->protocol};

	be_put16(tail + 2, (uint16_t)(packet->end - packet->l4));
	/* The addresses end the fixed header of both. */
	return net_sum(ip + (addresses == 8 ? 12 : 8), addresses, net_sum(tail, sizeof(tail), 0));
}

/* A frame in the course of being cut. */
struct cut {
	uint8_t headers[MAX_HEADERS]; /* of the whole; those in the frame are written over */
	size_t len;		      /* of them */
	struct net_packet packet;
	uint32_t sequence;
	uint16_t id;
	uint8_t flags;
};

/* Make the headers of the segment with `payload` bytes from `at` of the TCP payload on, directly in
 * front of those. */
static void segment_headers(const struct cut *cut, uint8_t *frame, size_t index, size_t at,
			    size_t payload, bool last)
{
	struct net_packet packet = cut->packet;
	uint8_t *ip = frame + packet.ip, *tcp = frame + packet.l4;
	uint8_t flags = cut->flags;
	uint32_t sequence = htobe32(cut->sequence + (uint32_t)at);

	memcpy(frame, cut->headers, cut->len);
	packet.end = packet.payload + payload;
	if (packet.ethertype == ETH_P_IP) {
		be_put16(ip + 2, (uint16_t)(packet.end - packet.ip));
		be_put16(ip + 4, (uint16_t)(cut->id + index));
		memset(ip + 10, 0, 2);
		put_checksum(ip + 10, net_sum(ip, (size_t)(ip[0] & 15) * 4, 0));
	} else {
		be_put16(ip + 4, (uint16_t)(packet.end - packet.ip - sizeof(struct ip6_hdr)));
	}
	if (!last)
		flags &= (uint8_t) ~(TH_FIN | TH_PUSH);
	if (index > 0)
		flags &= (uint8_t)~NET_TCP_CWR;
	memcpy(tcp + 4, &sequence, sizeof(sequence));
	tcp[13] = flags;
	memset(tcp + TCP_CHECKSUM, 0, 2);
	put_checksum(tcp + TCP_CHECKSUM,
		     net_sum(tcp, packet.end - packet.l4, net_pseudo_sum(frame, &packet)));
}

/* The frame is what its header says: TCP over the IP that it names, whole. */
static int cut_init(struct cut *cut, const struct virtio_net_hdr_v1 *header, const uint8_t *frame,
		    size_t len)
{
	bool v6 = (header->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) == VIRTIO_NET_HDR_GSO_TCPV6;
	struct net_packet *packet = &cut->packet;
	uint32_t sequence;

	if (!net_parse(frame, len, packet) || packet->protocol != IPPROTO_TCP || packet->l4 == 0 ||
	    packet->ethertype != (v6 ? ETH_P_IPV6 : ETH_P_IP) || packet->payload > MAX_HEADERS ||
	    le16toh(header->csum_start) != packet->l4 ||
	    le16toh(header->csum_offset) != TCP_CHECKSUM)
		return -EINVAL;
	cut->len = packet->payload;
	memcpy(cut->headers, frame, cut->len);
	memcpy(&sequence, frame + packet->l4 + 4, sizeof(sequence));
	cut->sequence = be32toh(sequence);
	cut->flags = frame[packet->l4 + 13];
	cut->id = be_get16(frame + packet->ip + 4); /* IPv4's */
	return 0;
}

int net_plain(struct virtio_net_hdr_v1 *header, uint8_t *frame, size_t len, net_emit_fn *emit,
	      void *opaque)
{
	size_t step = le16toh(header->gso_size), at = 0, payload, total;
	struct cut cut;
	int ret;

	if (header->gso_type == VIRTIO_NET_HDR_GSO_NONE) {
		net_checksum(header, frame, len);
		return emit(opaque, frame, len);
	}
	ret = cut_init(&cut, header, frame, len);
	if (ret < 0)
		return ret;
	total = cut.packet.end - cut.packet.payload;
	for (size_t index = 0; ret == 0 && (at < total || index == 0); index++, at += payload) {
		payload = total - at < step ? total - at : step;
		segment_headers(&cut, frame + at, index, at, payload, at + payload == total);
		ret = emit(opaque, frame + at, cut.len + payload);
	}
	return ret;
}
