/*
 * The host inside a LAN, asked for hours by guests that say anything: frames as they are, and DHCP
 * and DNS messages in frames that are sound, so that what is mutated is the message. Whatever they
 * ask, an answer is a sound frame, and nobody holds what is another's or more than a port may.
 *
 * The input is a list of: what, port, how long after the last, station, and then by `what` below.
 */
#include <string.h>
#include <strings.h>

#include "base/name.h"
#include "base/num.h"
#include "devices/net/net_offload.h"
#include "lan/gateway.h"
#include "lan/port.h"
#include "tests/fuzz/fuzz.h"

#define NETWORK	  0x0a010000u
#define SERVER	  (NETWORK + 1)
#define STEPS	  32u
#define STATIONS  400u /* in all crowds */
#define ETHERNET  14u
#define UDP	  42u /* where its payload begins */
#define DHCP	  240u
#define FRAME_MAX 1600u

enum what {
	SAY_FRAME,   /* length (two), bytes */
	SAY_DHCP,    /* type, address it has, options as SAY_FRAME */
	SAY_BOOTP,   /* the whole message, as SAY_FRAME */
	SAY_DNS,     /* as well */
	SAY_CROWD,   /* how many stations from this one on ask for an address, and take it */
	SAY_DISCOVER /* the same, without taking it */
};

static struct gateway *gateway;
static struct gateway_query query;
static uint8_t *reply;
static unsigned crowd; /* that may come yet */

static size_t take_bytes(struct fuzz_input *in, uint8_t *to, size_t max)
{
	return fuzz_take_bytes(in, to, fuzz_take(in, 2) % (max + 1));
}

/* ---- what is answered ---- */

static bool sum_is_right(const uint8_t *data, size_t len, uint32_t sum)
{
	return net_sum_fold(net_sum(data, len, sum)) == 0xffff;
}

static const struct lease *lease_at(uint32_t address)
{
	for (unsigned i = 0; i < LEASES_MAX; i++) {
		if (gateway->leases.lease[i].address == address)
			return &gateway->leases.lease[i];
	}
	return NULL;
}

/* What is given is the station's, from then on. */
static void check_dhcp(const uint8_t *message, size_t len)
{
	uint32_t given = be_get32(message + 16);
	const struct lease *lease;

	fuzz_require(len >= DHCP && message[0] == 2 && be_get32(message + 236) == 0x63825363);
	fuzz_require(memcmp(message + 28, query.frame + 6, NET_MAC_SIZE) == 0);
	fuzz_require(memchr(message + DHCP, 255, len - DHCP) != NULL);
	if (given == 0)
		return;
	fuzz_require(!is_zero(query.frame + 6, NET_MAC_SIZE));
	lease = lease_at(given);
	fuzz_require(lease != NULL && memcmp(lease->mac, query.frame + 6, NET_MAC_SIZE) == 0);
	fuzz_require(lease->port == query.port && (int32_t)(lease->until - query.now) > 0);
}

static void check_dns(const uint8_t *message, size_t len)
{
	fuzz_require(len >= 12 && len <= 512 && (message[2] & 0x80) != 0);
	fuzz_require(be_get16(message + 4) == 1 && be_get16(message + 6) <= 1);
	fuzz_require(be_get32(message + 8) == 0);
}

static void check_reply(size_t len)
{
	struct net_packet p;
	uint32_t pseudo;

	fuzz_require(len >= ETHERNET && memcmp(reply + 6, gateway->mac, NET_MAC_SIZE) == 0);
	if (be_get16(reply + 12) == 0x0806) {
		fuzz_require(len == 42);
		return;
	}
	fuzz_require(net_parse(reply, len, &p) && p.end == len);
	fuzz_require(sum_is_right(reply + p.ip, 20, 0));
	fuzz_require(be_get32(reply + p.ip + 12) == SERVER);
	if (p.protocol != IPPROTO_UDP) {
		fuzz_require(sum_is_right(reply + 34, len - 34, 0));
		return;
	}
	fuzz_require(p.l4 == 34 && be_get16(reply + 38) == len - 34);
	pseudo = net_pseudo_sum(reply, &p);
	fuzz_require(sum_is_right(reply + p.l4, len - p.l4, pseudo));
	if (be_get16(reply + p.l4) == 67)
		check_dhcp(reply + UDP, len - UDP);
	else
		check_dns(reply + UDP, len - UDP);
}

/* The bytes lie in memory of just their size. */
static size_t ask(const uint8_t *data, size_t len)
{
	uint8_t *frame = malloc(len);
	size_t got;

	fuzz_require(frame != NULL && len >= ETHERNET);
	memcpy(frame, data, len);
	query.frame = frame;
	query.len = len;
	got = gateway_answer(gateway, &query, reply);
	fuzz_require(got <= GATEWAY_REPLY_MAX);
	if (got > 0)
		check_reply(got);
	free(frame);
	return got;
}

/* ---- what is asked ---- */

static void put_sender(uint8_t *frame, unsigned station)
{
	memset(frame, 0xff, NET_MAC_SIZE);
	memset(frame + NET_MAC_SIZE, 0, NET_MAC_SIZE);
	if (station == 0)
		return; /* no address at all */
	frame[6] = 2;
	be_put16(frame + 10, (uint16_t)station);
}

static size_t ask_udp(uint8_t *frame, uint16_t port, size_t payload)
{
	be_put16(frame + 12, 0x0800);
	memset(frame + 14, 0, UDP - 14);
	frame[14] = 0x45;
	be_put16(frame + 16, (uint16_t)(28 + payload));
	frame[23] = IPPROTO_UDP;
	be_put32(frame + 26, NETWORK + 7);
	be_put32(frame + 30, SERVER);
	be_put16(frame + 34, 4000);
	be_put16(frame + 36, port);
	be_put16(frame + 38, (uint16_t)(8 + payload));
	return ask(frame, UDP + payload);
}

/* Without options but its type. */
static void put_dhcp(uint8_t *frame, uint8_t type, uint32_t address)
{
	uint8_t *message = frame + UDP;

	memset(message, 0, DHCP);
	memcpy(message, "\1\1\6\0abcd", 8);
	be_put32(message + 12, address);
	memcpy(message + 28, frame + 6, NET_MAC_SIZE);
	be_put32(message + 236, 0x63825363);
	message[DHCP] = 53;
	message[DHCP + 1] = 1;
	message[DHCP + 2] = type;
}

static void ask_dhcp(struct fuzz_input *in, uint8_t *frame)
{
	uint8_t type = (uint8_t)fuzz_take(in, 1), has = (uint8_t)fuzz_take(in, 1);

	put_dhcp(frame, type, has != 0 ? NETWORK + has : 0);
	(void)ask_udp(frame, 67, DHCP + 3 + take_bytes(in, frame + UDP + DHCP + 3, 600));
}

static void ask_crowd(struct fuzz_input *in, uint8_t *frame, unsigned station, bool in_earnest)
{
	for (unsigned n = (unsigned)fuzz_take(in, 1); n > 0 && crowd > 0; n--, crowd--, station++) {
		put_sender(frame, station);
		put_dhcp(frame, 1, 0);
		if (ask_udp(frame, 67, DHCP + 3) == 0 || !in_earnest)
			continue;
		put_dhcp(frame, 3, be_get32(reply + UDP + 16));
		(void)ask_udp(frame, 67, DHCP + 3);
	}
}

static void step(struct fuzz_input *in)
{
	static const char *const names[] = {NULL, "web", "db"};
	static uint8_t frame[FRAME_MAX];
	unsigned what = (unsigned)fuzz_take(in, 1), station;
	size_t len;

	query.name = names[what / 16 % 3];
	query.port = (unsigned)fuzz_take(in, 1) % 4;
	query.now += (uint32_t)fuzz_take(in, 1) * 30;
	station = (unsigned)fuzz_take(in, 1);
	put_sender(frame, station);
	switch (what % 16) {
	case SAY_FRAME:
		len = take_bytes(in, frame, FRAME_MAX);
		(void)ask(frame, len < ETHERNET ? ETHERNET : len);
		break;
	case SAY_DHCP:
		ask_dhcp(in, frame);
		break;
	case SAY_BOOTP:
		(void)ask_udp(frame, 67, take_bytes(in, frame + UDP, 1400));
		break;
	case SAY_DNS:
		(void)ask_udp(frame, 53, take_bytes(in, frame + UDP, 600));
		break;
	case SAY_CROWD:
	case SAY_DISCOVER:
		ask_crowd(in, frame, station, what % 16 == SAY_CROWD);
		break;
	}
}

/* ---- who has what ---- */

static void check_lease(const struct lease *lease)
{
	const struct leases *leases = &gateway->leases;

	fuzz_require(lease->address >= leases->first && lease->address <= leases->last);
	fuzz_require(lease->name[0] == '\0' || name_is_valid(lease->name));
	for (const struct lease *other = leases->lease; other < lease; other++) {
		if (other->address == 0)
			continue;
		fuzz_require(other->address != lease->address);
		fuzz_require(is_zero(lease->mac, NET_MAC_SIZE) ||
			     memcmp(other->mac, lease->mac, NET_MAC_SIZE) != 0);
		fuzz_require(lease->name[0] == '\0' || strcasecmp(other->name, lease->name) != 0);
	}
}

static void check_leases(void)
{
	unsigned held[4] = {0};

	for (unsigned i = 0; i < LEASES_MAX; i++) {
		const struct lease *lease = &gateway->leases.lease[i];

		if (lease->address == 0)
			continue;
		check_lease(lease);
		if ((int32_t)(lease->until - query.now) > 0)
			held[lease->port]++;
	}
	for (unsigned port = 0; port < ARRAY_SIZE(held); port++)
		fuzz_require(held[port] <= LEASES_SHARE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned prefixes[] = {24, 23, 29, 16};
	struct fuzz_input in = {.at = data, .left = size};
	struct gateway_params params = {.network = NETWORK,
					.prefix = prefixes[fuzz_take(&in, 1) % 4]};

	reply = malloc(GATEWAY_REPLY_MAX);
	fuzz_require(reply != NULL && gateway_new(&gateway, &params, NULL) == 0);
	query = (struct gateway_query){.now = 1000};
	crowd = STATIONS;
	for (unsigned i = 0; i < STEPS && in.left > 0; i++)
		step(&in);
	check_leases();
	gateway_free(gateway);
	free(reply);
	return 0;
}
