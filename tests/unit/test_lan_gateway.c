/* The host inside a LAN: ARP, echo, DHCP and DNS, and what it does about garbage. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "base/num.h"
#include "lan/dns.h"
#include "lan/gateway.h"

#define NETWORK 0x0a010200u /* 10.1.2.0/24 */
#define SERVER	(NETWORK + 1)
#define UDP	42u
#define OPTIONS (UDP + 240u)

static struct gateway *g;
static uint8_t frame[600], reply[GATEWAY_REPLY_MAX];
static size_t len, got;
static uint32_t now;

static void start(void)
{
	struct gateway_params params = {.network = NETWORK, .prefix = 24};

	cr_assert(eq(i32, gateway_new(&g, &params, NULL), 0));
	now = 1000;
}

static void stop(void)
{
	gateway_free(g);
}

TestSuite(lan_gateway, .init = start, .fini = stop);

static void ask_as(unsigned port, const char *name)
{
	struct gateway_query query = {
		.frame = frame, .len = len, .port = port, .name = name, .now = now};

	got = gateway_answer(g, &query, reply);
}

static void ethernet(uint8_t id, uint16_t type)
{
	memset(frame, 0, sizeof(frame));
	memset(frame, 0xff, 6);
	frame[6] = 2;
	frame[11] = id;
	be_put16(frame + 12, type);
}

static void udp(uint8_t id, uint32_t to, uint16_t port, size_t payload)
{
	ethernet(id, 0x0800);
	frame[14] = 0x45;
	be_put16(frame + 16, (uint16_t)(28 + payload));
	frame[22] = 64;
	frame[23] = 17;
	be_put32(frame + 30, to);
	be_put16(frame + 34, 4000);
	be_put16(frame + 36, port);
	be_put16(frame + 38, (uint16_t)(8 + payload));
	len = UDP + payload;
}

/* A message of station `id`; options go behind its type. */
static void dhcp(uint8_t id, uint8_t type)
{
	static const uint8_t cookie[] = {0x63, 0x82, 0x53, 0x63};

	udp(id, 0xffffffff, 67, 240 + 60);
	memcpy(frame + UDP, "\1\1\6\0abcd", 8);
	frame[UDP + 28] = 2;
	frame[UDP + 33] = id;
	memcpy(frame + UDP + 236, cookie, 4);
	memcpy(frame + OPTIONS, (uint8_t[]){53, 1, type, 255}, 4);
}

static void add_option(uint8_t option, const void *value, size_t size)
{
	uint8_t *at = memchr(frame + OPTIONS, 255, 60);

	at[0] = option;
	at[1] = (uint8_t)size;
	memcpy(at + 2, value, size);
	at[2 + size] = 255;
}

static void add_address(uint8_t option, uint32_t address)
{
	uint8_t value[4];

	be_put32(value, address);
	add_option(option, value, 4);
}

/* The value of an option of the reply, or NULL. */
static const uint8_t *option(uint8_t wanted)
{
	for (const uint8_t *at = reply + OPTIONS; at < reply + got && *at != 255; at += 2 + at[1]) {
		if (*at == wanted)
			return at + 2;
	}
	return NULL;
}

static uint8_t type(void)
{
	return got > 0 ? *option(53) : 0;
}

static uint32_t given(void)
{
	return be_get32(reply + UDP + 16);
}

/* The whole exchange; the address. */
static uint32_t lease(uint8_t id, const char *name)
{
	uint32_t address;

	dhcp(id, 1);
	ask_as(id, name);
	cr_assert(eq(u8, type(), 2));
	address = given();
	dhcp(id, 3);
	add_address(50, address);
	add_address(54, SERVER);
	ask_as(id, name);
	cr_assert(eq(u8, type(), 5));
	cr_assert(eq(u32, given(), address));
	return address;
}

Test(lan_gateway, tells_where_it_is)
{
	ethernet(7, 0x0806);
	memcpy(frame + 14, "\0\1\x08\0\6\4\0\1\2\0\0\0\0\7", 14);
	be_put32(frame + 28, NETWORK + 9);
	be_put32(frame + 38, SERVER);
	len = 42;
	ask_as(7, NULL);
	cr_assert(eq(sz, got, 42));
	cr_expect(eq(int, memcmp(reply, frame + 6, 6), 0));
	cr_expect(eq(u16, be_get16(reply + 20), 2));
	cr_expect(eq(int, memcmp(reply + 22, g->mac, 6), 0));
	cr_expect(eq(u32, be_get32(reply + 28), SERVER));
	be_put32(frame + 38, SERVER + 1);
	ask_as(7, NULL);
	cr_expect(eq(sz, got, 0));
}

Test(lan_gateway, answers_echo)
{
	udp(7, SERVER, 0, 56);
	frame[23] = 1;
	memcpy(frame + 34, "\x08\0\0\0\1\2\3\4hello", 13);
	ask_as(7, NULL);
	cr_assert(eq(sz, got, len));
	cr_expect(eq(u8, reply[34], 0));
	cr_expect(eq(int, memcmp(reply + 38, frame + 38, len - 38), 0));
	be_put16(frame + 20, 0x2000); /* part of a packet */
	ask_as(7, NULL);
	cr_expect(eq(sz, got, 0));
}

Test(lan_gateway, gives_addresses)
{
	uint32_t address = lease(7, "web");

	cr_expect(ge(u32, address, NETWORK + 2));
	cr_expect(le(u32, address, NETWORK + 254));
	cr_expect(eq(u32, be_get32(option(1)), 0xffffff00));
	cr_expect(eq(u32, be_get32(option(54)), SERVER));
	cr_expect(eq(u32, be_get32(option(6)), SERVER));
	cr_expect(eq(u32, be_get32(option(51)), LEASE_TIME));
	cr_expect(eq(int, memcmp(option(12), "web", 3), 0));
	cr_expect(eq(ptr, (void *)option(3), NULL), "no router");
	cr_expect(eq(u32, be_get32(reply + 30), address));
	cr_expect(ne(u32, lease(8, "db"), address));
	now += 10 * LEASE_TIME; /* asleep in a file */
	cr_expect(eq(u32, lease(7, "web"), address));
}

Test(lan_gateway, a_machine_from_before_keeps_its_address)
{
	dhcp(7, 3);
	be_put32(frame + UDP + 12, NETWORK + 99);
	ask_as(1, "web");
	cr_assert(eq(u8, type(), 5));
	cr_expect(eq(u32, given(), NETWORK + 99));
	dhcp(8, 3);
	add_address(50, NETWORK + 99);
	ask_as(2, "db");
	cr_expect(eq(u8, type(), 6), "it is another's");
	dhcp(8, 3);
	add_address(50, 0xc0a80001);
	ask_as(2, "db");
	cr_expect(eq(u8, type(), 6), "another network");
	dhcp(8, 3);
	add_address(54, SERVER + 1);
	ask_as(2, "db");
	cr_expect(eq(sz, got, 0), "another server was chosen");
}

Test(lan_gateway, release_decline_and_inform)
{
	uint32_t address = lease(7, "web"), other;

	dhcp(7, 4);
	add_address(50, address);
	ask_as(7, "web");
	cr_expect(eq(sz, got, 0));
	other = lease(7, "web");
	cr_expect(ne(u32, other, address), "somebody uses that");
	dhcp(7, 7);
	be_put32(frame + UDP + 12, other);
	ask_as(7, "web");
	cr_expect(eq(u32, lease(7, "web"), other));
	dhcp(7, 8);
	be_put32(frame + UDP + 12, 0x0a0102f0);
	ask_as(7, "web");
	cr_expect(eq(u8, type(), 5));
	cr_expect(eq(u32, given(), 0));
}

Test(lan_gateway, nobody_takes_all_addresses)
{
	unsigned n = 0;

	for (unsigned id = 0; id < 250; id++) {
		dhcp((uint8_t)id, 1);
		ask_as(1, NULL);
		n += got > 0;
	}
	cr_expect(eq(u32, n, LEASES_SHARE));
	dhcp(251, 1);
	ask_as(2, NULL);
	cr_expect(eq(u8, type(), 2));
}

/* A lease that is over counts when it is taken again: two sets of stations in turn do not get
 * more. */
Test(lan_gateway, nobody_takes_all_addresses_in_two_goes)
{
	uint32_t address[240];
	unsigned n = 0;

	for (unsigned id = 0; id < 240; id++) {
		if (id == LEASES_SHARE)
			now += LEASE_OFFER;
		dhcp((uint8_t)id, 1);
		ask_as(1, NULL);
		cr_assert(eq(u8, type(), 2));
		address[id] = given();
	}
	for (unsigned id = 0; id < 240; id++) {
		dhcp((uint8_t)id, id % 2 == 0 ? 1 : 3);
		add_address(50, address[id]);
		ask_as(1, NULL);
		n += type() == 2 || type() == 5;
	}
	cr_expect(eq(u32, n, LEASES_SHARE));
	dhcp(0, 3);
	add_address(50, address[0]);
	ask_as(2, NULL);
	cr_expect(eq(u8, type(), 5), "at another port there is room");
}

Test(lan_gateway, an_address_is_kept_for_whom_it_is_offered_again)
{
	struct leases leases;
	struct lease *old;
	uint8_t mac[6] = {2, 0, 0, 0, 0, 0};
	uint32_t address;

	leases_init(&leases, NETWORK, 29);
	for (; mac[5] < 5; mac[5]++)
		cr_assert(ne(ptr, lease_take(&leases, mac, 1, 0, now), NULL));
	now += LEASE_TIME;
	mac[5] = 0;
	old = lease_take(&leases, mac, 1, 0, now);
	cr_assert(ne(ptr, old, NULL));
	address = old->address;
	for (mac[5] = 5; mac[5] < 9; mac[5]++)
		cr_expect(ne(ptr, lease_take(&leases, mac, 1, address, now), NULL));
	cr_expect(eq(ptr, lease_take(&leases, mac, 1, 0, now), NULL), "all are offered");
	mac[5] = 0;
	cr_expect(eq(ptr, lease_adopt(&leases, mac, 1, address, now), old));
}

Test(lan_gateway, no_station_without_an_address)
{
	uint32_t address = lease(7, "web");

	dhcp(7, 4);
	add_address(50, address);
	ask_as(7, NULL);
	for (uint8_t what = 1; what <= 8; what++) {
		dhcp(0, what);
		frame[6] = frame[UDP + 28] = 0;
		add_address(50, address);
		ask_as(8, NULL);
		cr_expect(eq(sz, got, 0), "message %u", what);
	}
}

static uint16_t lookup(const char *labels, uint16_t qtype)
{
	size_t name = strlen(labels) + 1;

	udp(9, SERVER, 53, 12 + name + 4);
	memcpy(frame + UDP, "\x12\x34\1\0\0\1", 6);
	memcpy(frame + UDP + 12, labels, name);
	be_put16(frame + UDP + 12 + name, qtype);
	be_put16(frame + UDP + 12 + name + 2, 1);
	ask_as(9, NULL);
	cr_assert(ge(sz, got, UDP + 12));
	cr_expect(eq(u16, be_get16(reply + UDP), 0x1234));
	cr_expect(eq(u16, be_get16(reply + 36), 4000));
	return be_get16(reply + UDP + 2);
}

Test(lan_gateway, knows_names)
{
	uint32_t address = lease(7, "web");

	cr_expect(eq(u16, lookup("\3WEB", 1), 0x8500));
	cr_expect(eq(u16, be_get16(reply + UDP + 6), 1));
	cr_expect(eq(u32, be_get32(reply + got - 4), address));
	cr_expect(eq(u16, lookup("\3web\3lan", 1), 0x8500));
	cr_expect(eq(u32, be_get32(reply + got - 4), address));
	cr_expect(eq(u16, lookup("\3web", 28), 0x8500));
	cr_expect(eq(u16, be_get16(reply + UDP + 6), 0), "no IPv6");
	cr_expect(eq(u16, lookup("\3web\7example", 1), 0x8503));
	cr_expect(eq(u16, lookup("\2db", 1), 0x8503));
	now += LEASE_TIME;
	cr_expect(eq(u16, lookup("\3web", 1), 0x8503), "it is not there any more");
}

Test(lan_gateway, a_guest_cannot_call_itself_like_a_machine)
{
	uint32_t address = lease(7, "web");

	dhcp(8, 1);
	add_option(12, "web", 3);
	ask_as(8, NULL);
	cr_assert(eq(u8, type(), 2));
	cr_expect(eq(ptr, (void *)option(12), NULL));
	(void)lookup("\3web", 1);
	cr_expect(eq(u32, be_get32(reply + got - 4), address));
	dhcp(9, 1);
	add_option(12, "db", 2);
	ask_as(9, NULL);
	cr_expect(eq(int, memcmp(option(12), "db", 2), 0));
	dhcp(9, 1);
	add_option(12, "d/b", 3);
	ask_as(10, NULL);
	cr_expect(eq(int, memcmp(option(12), "db", 2), 0));
}

Test(lan_gateway, every_truncation_is_survived)
{
	static const uint16_t ports[] = {53, 67};

	for (unsigned which = 0; which < 2; which++) {
		for (size_t whole = 14; whole < UDP + 300; whole++) {
			dhcp(7, 1);
			be_put16(frame + 36, ports[which]);
			be_put32(frame + 30, SERVER);
			len = whole;
			ask_as(7, NULL);
			if (whole >= UDP)
				be_put16(frame + 16, (uint16_t)(whole - 14));
			if (whole >= UDP)
				be_put16(frame + 38, (uint16_t)(whole - 34));
			ask_as(7, NULL);
		}
	}
}

Test(lan_gateway, networks)
{
	struct gateway_params params;
	struct err err;

	cr_expect(eq(i32, gateway_parse_cidr(&params, "192.168.7.9/24", &err), 0));
	cr_expect(eq(u32, params.network, 0xc0a80700));
	cr_expect(lt(i32, gateway_parse_cidr(&params, "10.0.0.0/8", &err), 0));
	cr_expect(lt(i32, gateway_parse_cidr(&params, "10.0.0.0/30", &err), 0));
	cr_expect(lt(i32, gateway_parse_cidr(&params, "10.0.0.0", &err), 0));
	cr_expect(lt(i32, gateway_parse_cidr(&params, "10.0.0/24", &err), 0));
	cr_expect(lt(i32, gateway_parse_cidr(&params, "10.0.0.0/24x", &err), 0));
	gateway_default_cidr(&params, "shop");
	cr_expect(eq(u32, params.network & 0xffff00ff, 0x0a4d0000));
}
