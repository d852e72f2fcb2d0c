/* See net_fragment.h. Pure. */
#include "devices/net/net_fragment.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>

#include "base/num.h"

#define EXTENSION   8u	 /* IPv6's fragment header */
#define MAX_HEADERS 128u /* Ethernet, VLAN, IPv4 with options, or IPv6 with that header */

/* What all fragments begin with, and where they differ. */
struct fragment_pattern {
	uint8_t headers[MAX_HEADERS];
	size_t len;
	size_t ip;
	bool v6;
};

static void put_be16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* The options are repeated in each fragment, though RFC 791 lets some stay in the first. */
static int fragment_begin_v4(struct fragment_pattern *p, const uint8_t *frame)
{
	const uint8_t *ip = frame + p->ip;

	/* DF, or a fragment already. */
	if ((ip[6] & 0x7f) != 0 || ip[7] != 0)
		return -EMSGSIZE;
	p->len = p->ip + (size_t)(ip[0] & 15) * 4;
	memcpy(p->headers, frame, p->len);
	return 0;
}

static int fragment_begin_v6(struct fragment_pattern *p, const uint8_t *frame, uint32_t id)
{
	uint8_t *ip = p->headers + p->ip, *extension = ip + sizeof(struct ip6_hdr);

	memcpy(p->headers, frame, p->ip + sizeof(struct ip6_hdr));
	switch (ip[6]) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_DSTOPTS:
	case IPPROTO_FRAGMENT:
		return -EMSGSIZE;
	}
	memset(extension, 0, EXTENSION);
	extension[0] = ip[6];
	put_be16(extension + 4, id >> 16);
	put_be16(extension + 6, id & UINT16_MAX);
	ip[6] = IPPROTO_FRAGMENT;
	p->len = p->ip + sizeof(struct ip6_hdr) + EXTENSION;
	p->v6 = true;
	return 0;
}

/* The headers of the fragment of `len` bytes from `offset` of the payload on. */
static void fragment_headers(const struct fragment_pattern *p, uint8_t *frame, size_t offset,
			     size_t len, bool more)
{
	uint8_t *ip = frame + p->ip;
	uint16_t sum;

	memcpy(frame, p->headers, p->len);
	if (p->v6) {
		put_be16(ip + 4, EXTENSION + len);
		put_be16(ip + sizeof(struct ip6_hdr) + 2, offset | more);
		return;
	}
	put_be16(ip + 2, p->len - p->ip + len);
	put_be16(ip + 6, offset / 8 | (more ? IP_MF : 0));
	put_be16(ip + 10, 0);
	sum = (uint16_t)~net_sum_fold(net_sum(ip, p->len - p->ip, 0));
	memcpy(ip + 10, &sum, sizeof(sum));
}

int net_fragment(uint8_t *frame, size_t len, size_t mtu, uint32_t id, net_emit_fn *emit,
		 void *opaque)
{
	struct net_packet packet;
	struct fragment_pattern p;
	size_t payload, total, step, part;
	bool well_formed = net_parse(frame, len, &packet);
	int ret;

	if (well_formed && packet.end - packet.ip <= mtu)
		return emit(opaque, frame, packet.end);
	if (!well_formed)
		return len <= ETH_HLEN + mtu ? emit(opaque, frame, len) : -EMSGSIZE;
	p = (struct fragment_pattern){.ip = packet.ip};
	ret = packet.ethertype == ETH_P_IP ? fragment_begin_v4(&p, frame)
					   : fragment_begin_v6(&p, frame, id);
	if (ret < 0)
		return ret;
	payload = p.v6 ? p.len - EXTENSION : p.len;
	total = packet.end - payload;
	if (mtu < p.len - p.ip + 8)
		return -EMSGSIZE;
	step = (mtu - (p.len - p.ip)) & ~(size_t)7;
	for (size_t at = 0; ret == 0 && at < total; at += part) {
		uint8_t *start = frame + payload + at - p.len;

		part = u64_min(total - at, step);
		fragment_headers(&p, start, at, part, at + part < total);
		ret = emit(opaque, start, p.len + part);
	}
	return ret;
}
