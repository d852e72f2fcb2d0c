/* See gateway.h. */
#include "lan/gateway.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/fnv.h"
#include "base/num.h"
#include "devices/net/net_offload.h"
#include "lan/dhcp.h"
#include "lan/dns.h"

#define ETHERNET  14u
#define ARP	  28u
#define IPV4	  20u
#define UDP	  8u
#define ECHO	  8u
#define TYPE_ARP  0x0806u
#define TYPE_IPV4 0x0800u
#define PORT_DNS  53u
#define PORT_DHCP 67u
#define EVERYBODY 0xffffffffu
#define TTL	  64u
#define FRAGMENT  0x3fffu /* any of it but the whole */

static const uint8_t broadcast_mac[NET_MAC_SIZE] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/* ---- its address ---- */

int gateway_parse_cidr(struct gateway_params *params, const char *text, struct err *err)
{
	char address[INET_ADDRSTRLEN];
	struct in_addr in;
	unsigned prefix;
	int end = 0;

	if (sscanf(text, "%15[0-9.]/%2u%n", address, &prefix, &end) != 2 || text[end] != '\0' ||
	    inet_pton(AF_INET, address, &in) != 1)
		return err_set(err, ERR_USAGE, "%.40s is not a network: write 10.1.2.0/24, say",
			       text);
	if (prefix < 16 || prefix > 29)
		return err_set(err, ERR_USAGE, "%.40s: networks of /16 to /29 can be served", text);
	params->prefix = prefix;
	params->network = ntohl(in.s_addr) & (uint32_t)(~(uint64_t)0 << (32 - prefix));
	return 0;
}

void gateway_default_cidr(struct gateway_params *params, const char *name)
{
	uint32_t hash = fnv1a(name, strlen(name));

	params->network = 10u << 24 | 77u << 16 | (hash ^ hash >> 16) % 256 << 8;
	params->prefix = 24;
}

int gateway_new(struct gateway **out, const struct gateway_params *params, struct err *err)
{
	struct gateway *gateway = calloc(1, sizeof(*gateway));

	if (gateway == NULL)
		return err_sys(err, ENOMEM, "a DHCP server");
	if (getrandom(gateway->mac, NET_MAC_SIZE, 0) != NET_MAC_SIZE) {
		free(gateway);
		return err_sys(err, errno, "getrandom");
	}
	gateway->mac[0] = (uint8_t)((gateway->mac[0] & 0xfc) | 2); /* local, one station */
	gateway->address = params->network + 1;
	gateway->dns = params->dns != 0 ? params->dns : gateway->address;
	leases_init(&gateway->leases, params->network, params->prefix);
	*out = gateway;
	return 0;
}

void gateway_free(struct gateway *gateway)
{
	free(gateway);
}

/* ---- what it sends ---- */

static void put_ethernet(const struct gateway *gateway, const struct gateway_query *query,
			 uint8_t *reply, uint16_t type)
{
	memcpy(reply, query->frame + NET_MAC_SIZE, NET_MAC_SIZE);
	memcpy(reply + NET_MAC_SIZE, gateway->mac, NET_MAC_SIZE);
	be_put16(reply + 2 * NET_MAC_SIZE, type);
}

/* Sums are of 16-bit words as they lie in memory. */
static void gateway_put_checksum(uint8_t *at, uint32_t sum)
{
	uint16_t v = (uint16_t)~net_sum_fold(sum);

	memcpy(at, &v, sizeof(v));
}

/* The IPv4 header before `len` bytes of payload. */
static size_t put_ipv4(const struct gateway *gateway, uint8_t *reply, uint8_t protocol, uint32_t to,
		       size_t len)
{
	uint8_t *ip = reply + ETHERNET;

	memset(ip, 0, IPV4);
	ip[0] = 0x45;
	be_put16(ip + 2, (uint16_t)(IPV4 + len));
	be_put16(ip + 6, 0x4000); /* not to be fragmented */
	ip[8] = TTL;
	ip[9] = protocol;
	be_put32(ip + 12, gateway->address);
	be_put32(ip + 16, to);
	gateway_put_checksum(ip + 10, net_sum(ip, IPV4, 0));
	return ETHERNET + IPV4 + len;
}

/* The checksum over a UDP packet in place, with its pseudo header (RFC 768). */
static void put_udp_checksum(uint8_t *ip, size_t len)
{
	uint32_t pseudo = htons(IPPROTO_UDP) + (uint32_t)htons((uint16_t)len);
	uint8_t *udp = ip + IPV4;

	gateway_put_checksum(udp + 6, net_sum(udp, len, net_sum(ip + 12, 8, pseudo)));
	if (be_get16(udp + 6) == 0)
		be_put16(udp + 6, 0xffff);
}

static size_t put_udp(const struct gateway *gateway, uint8_t *reply, uint16_t from, uint16_t to,
		      uint32_t address, size_t len)
{
	uint8_t *udp = reply + ETHERNET + IPV4;
	size_t all = put_ipv4(gateway, reply, IPPROTO_UDP, address, UDP + len);

	be_put16(udp, from);
	be_put16(udp + 2, to);
	be_put16(udp + 4, (uint16_t)(UDP + len));
	be_put16(udp + 6, 0);
	put_udp_checksum(reply + ETHERNET, UDP + len);
	return all;
}

/* ---- answers ---- */

/* RFC 826: who has our address? */
static size_t answer_arp(const struct gateway *gateway, const struct gateway_query *query,
			 uint8_t *reply)
{
	static const uint8_t request[] = {0, 1, 8, 0, NET_MAC_SIZE, 4, 0, 1};
	const uint8_t *arp = query->frame + ETHERNET;
	uint8_t *out = reply + ETHERNET;

	if (query->len < ETHERNET + ARP || memcmp(arp, request, sizeof(request)) != 0 ||
	    be_get32(arp + 24) != gateway->address)
		return 0;
	put_ethernet(gateway, query, reply, TYPE_ARP);
	memcpy(out, request, sizeof(request));
	out[7] = 2;
	memcpy(out + 8, gateway->mac, NET_MAC_SIZE);
	be_put32(out + 14, gateway->address);
	memcpy(out + 18, arp + 8, NET_MAC_SIZE + 4);
	return ETHERNET + ARP;
}

static size_t answer_echo(const struct gateway *gateway, const struct gateway_query *query,
			  const struct net_packet *p, uint8_t *reply)
{
	const uint8_t *ip = query->frame + p->ip;
	size_t head = 4u * (ip[0] & 15u), len = p->end - p->ip - head;
	const uint8_t *icmp = ip + head;
	uint8_t *out = reply + ETHERNET + IPV4;

	if (len < ECHO || ETHERNET + IPV4 + len > GATEWAY_REPLY_MAX || icmp[0] != 8 || icmp[1] != 0)
		return 0;
	memcpy(out, icmp, len);
	out[0] = 0;
	be_put16(out + 2, 0);
	gateway_put_checksum(out + 2, net_sum(out, len, 0));
	put_ethernet(gateway, query, reply, TYPE_IPV4);
	return put_ipv4(gateway, reply, IPPROTO_ICMP, be_get32(ip + 12), len);
}

static size_t answer_dhcp(struct gateway *gateway, const struct gateway_query *query,
			  const uint8_t *data, size_t len, uint8_t *reply)
{
	struct dhcp_reply dhcp;

	dhcp_answer(gateway, query, data, len, &dhcp);
	if (dhcp.len == 0)
		return 0;
	put_ethernet(gateway, query, reply, TYPE_IPV4);
	if (dhcp.broadcast)
		memcpy(reply, broadcast_mac, NET_MAC_SIZE);
	memcpy(reply + ETHERNET + IPV4 + UDP, dhcp.data, dhcp.len);
	return put_udp(gateway, reply, PORT_DHCP, 68, dhcp.to, dhcp.len);
}

static size_t answer_dns(struct gateway *gateway, const struct gateway_query *query,
			 const struct net_packet *p, uint8_t *reply)
{
	size_t len = dns_answer(&gateway->leases, query->frame + p->payload, p->end - p->payload,
				query->now, reply + ETHERNET + IPV4 + UDP);

	if (len == 0)
		return 0;
	put_ethernet(gateway, query, reply, TYPE_IPV4);
	return put_udp(gateway, reply, PORT_DNS, be_get16(query->frame + p->l4),
		       be_get32(query->frame + p->ip + 12), len);
}

static size_t answer_ipv4(struct gateway *gateway, const struct gateway_query *query,
			  uint8_t *reply)
{
	struct net_packet p;
	bool ours;
	uint16_t port;

	if (!net_parse(query->frame, query->len, &p) || p.ethertype != TYPE_IPV4 ||
	    (be_get16(query->frame + p.ip + 6) & FRAGMENT) != 0)
		return 0;
	ours = be_get32(query->frame + p.ip + 16) == gateway->address;
	if (p.protocol == IPPROTO_ICMP)
		return ours ? answer_echo(gateway, query, &p, reply) : 0;
	if (p.protocol != IPPROTO_UDP || p.l4 == 0)
		return 0;
	port = be_get16(query->frame + p.l4 + 2);
	if (port == PORT_DHCP)
		return answer_dhcp(gateway, query, query->frame + p.payload, p.end - p.payload,
				   reply);
	return ours && port == PORT_DNS ? answer_dns(gateway, query, &p, reply) : 0;
}

size_t gateway_answer(struct gateway *gateway, const struct gateway_query *query,
		      uint8_t reply[GATEWAY_REPLY_MAX])
{
	switch (be_get16(query->frame + 2 * NET_MAC_SIZE)) {
	case TYPE_ARP:
		return answer_arp(gateway, query, reply);
	case TYPE_IPV4:
		return answer_ipv4(gateway, query, reply);
	default:
		return 0;
	}
}
