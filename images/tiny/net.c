/* virtio-net (virtio 1.2 §5.1): the first card asks who has an IPv4 address (ARP, RFC 826). It is
 * given buffers for receiving only when somebody waits for answers. */
#include "images/tiny/tiny.h"

enum { RX, TX };
enum { ARP_REPLY = 2 };
#define F_MAC (1ull << 5)

struct arp {
	uint8_t to[6], from[6];
	uint8_t kind[9]; /* Ethernet's type; ARP for IPv4 over Ethernet */
	uint8_t operation;
	uint8_t sender_mac[6], sender[4];
	uint8_t target_mac[6], target[4];
};

/* §5.1.6: every frame has a header before it, which is all zero without offloads. */
struct frame {
	uint8_t header[12];
	union {
		struct arp arp;
		uint8_t bytes[1514];
	};
};

static const uint8_t kind_arp[9] = {8, 6, 0, 1, 8, 0, 6, 4, 0};
static const uint8_t own_address[4] = {10, 0, 2, 15};
static struct vdev card;
static uint8_t mac[6];
static bool listening;
static struct frame received[QUEUE_LEN];

static bool equal(const uint8_t *a, const uint8_t *b, size_t n)
{
	while (n && *a == *b)
		a++, b++, n--;
	return n == 0;
}

static void copy(uint8_t *to, const uint8_t *from, size_t n)
{
	while (n--)
		*to++ = *from++;
}

static bool start(void)
{
	uint64_t config;

	listening = false;
	if (!virtio_negotiate(&card, F_MAC) || !virtio_queue(&card, RX) || !virtio_queue(&card, TX))
		return false;
	virtio_start(&card);
	config = virtio_config64(&card, 0);
	copy(mac, (const uint8_t *)&config, sizeof(mac));
	return true;
}

void net_probe(uint64_t base)
{
	if (card.base)
		return;
	card.base = base;
	if (!start())
		card.base = 0;
}

static bool present(void)
{
	if (!card.base)
		say("error net");
	return card.base;
}

static void give(uint32_t i)
{
	struct queue *q = &card.queue[RX];

	q->desc[i] = (struct desc){(uint64_t)&received[i], sizeof(received[i]), DESC_WRITE, 0};
	queue_post(q, (uint16_t)i);
}

static void listen(void)
{
	for (uint32_t i = 0; !listening && i < QUEUE_LEN; i++)
		give(i);
	listening = true;
}

static bool ask(const uint8_t *address)
{
	static struct frame f;
	const struct seg seg = {(uint64_t)&f, sizeof(f.header) + sizeof(f.arp), false};

	for (unsigned i = 0; i < sizeof(mac); i++)
		f.arp.to[i] = 0xff;
	copy(f.arp.from, mac, sizeof(mac));
	copy(f.arp.kind, kind_arp, sizeof(kind_arp));
	f.arp.operation = 1;
	copy(f.arp.sender_mac, mac, sizeof(mac));
	copy(f.arp.sender, own_address, sizeof(own_address));
	copy(f.arp.target, address, sizeof(f.arp.target));
	return queue_request(&card.queue[TX], &seg, 1) >= 0;
}

static bool is_answer(const struct frame *f, uint32_t len, const uint8_t *address)
{
	return len >= sizeof(f->header) + sizeof(f->arp) && equal(f->arp.kind, kind_arp, 9) &&
	       f->arp.operation == ARP_REPLY && equal(f->arp.to, mac, sizeof(mac)) &&
	       equal(f->arp.sender, address, sizeof(f->arp.sender));
}

/* Waits for one answer: false when none comes. */
static bool hear(const uint8_t *address, uint8_t *who)
{
	struct spin wait = {0};
	uint32_t i, len;

	do {
		while (queue_take(&card.queue[RX], &i, &len)) {
			struct frame f;

			i %= QUEUE_LEN;
			f = received[i];
			give(i);
			if (!is_answer(&f, len, address))
				continue;
			copy(who, f.arp.sender_mac, sizeof(f.arp.sender_mac));
			return true;
		}
	} while (spin(&wait));
	return false;
}

/* Reads A.B.C.D, and a number behind it when asked for one; otherwise answers "error arguments". */
static bool address_get(const char *args, uint8_t *address, uint64_t *n)
{
	uint64_t v;

	for (unsigned i = 0; i < 4; i++) {
		if ((i > 0 && *args++ != '.') || !str_number(&args, &v) || v > 255)
			goto bad;
		address[i] = (uint8_t)v;
	}
	if (!n && !*args)
		return true;
	if (n && *args == ' ')
		return args_get(args + 1, 1, n);
bad:
	say("error arguments");
	return false;
}

void cmd_net(const char *args)
{
	(void)args;
	if (present())
		say("net %b:%b:%b:%b:%b:%b", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

void cmd_arp(const char *args)
{
	uint8_t address[4], who[6];

	if (!address_get(args, address, NULL) || !present())
		return;
	listen();
	if (!ask(address))
		say("error net");
	else if (!hear(address, who))
		say("arp nobody");
	else
		say("arp %b:%b:%b:%b:%b:%b", who[0], who[1], who[2], who[3], who[4], who[5]);
}

/* Started anew, the card has no buffer that an answer could be put into. */
void cmd_arpask(const char *args)
{
	uint8_t address[4];
	uint64_t n, sent = 0;

	if (!address_get(args, address, &n) || !present())
		return;
	if (!start()) {
		say("error net");
		return;
	}
	while (sent < n && ask(address))
		sent++;
	say("arpask %u", sent);
}

void cmd_arphear(const char *args)
{
	uint8_t address[4], who[6];
	uint64_t n, heard = 0;

	if (!address_get(args, address, &n) || !present())
		return;
	listen();
	while (heard < n && hear(address, who))
		heard++;
	say("arphear %u", heard);
}
