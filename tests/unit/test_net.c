/* virtio-net from a guest's driver (virtio 1.2 §5.1), with a back end that plays the network. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>

#include "devices/net_flows.h"
#include "tests/unit/fake_net.h"
#include "vmm/base/num.h"

enum { RX = 0, TX = 1, CTRL = 2 };

#define F(name) VIRTIO_FEATURE(VIRTIO_NET_F_##name)
#define RECEIVING                                                                                  \
	(F(MRG_RXBUF) | F(GUEST_CSUM) | F(GUEST_TSO4) | F(GUEST_TSO6) | F(GUEST_ECN) |             \
	 F(CTRL_GUEST_OFFLOADS))
#define SENDING (F(CSUM) | F(HOST_TSO4) | F(HOST_TSO6) | F(HOST_ECN))
#define CONTROL (F(CTRL_VQ) | F(CTRL_RX) | F(CTRL_RX_EXTRA) | F(CTRL_MAC_ADDR) | F(GUEST_ANNOUNCE))
#define ALL	(RECEIVING | SENDING | CONTROL | F(STATUS) | F(MTU) | F(MAC))
#define BUFFER	(FAKE_BUFFERS + 0x40000) /* of the i-th received frame: + i * 0x1000 */
#define HEADER	FAKE_BUFFERS
#define FRAME	(FAKE_BUFFERS + 0x100)
#define COMMAND (FAKE_BUFFERS + 0x30000)
#define ACK	(FAKE_BUFFERS + 0x31000)
#define SIZE	64u

static struct fake fake, other;
static struct fake_net net, net2;

static void start_with(uint64_t features, uint16_t pairs)
{
	fake_net_plug(&fake, pairs);
	fake_net_connect(&net, &fake);
	fake_bring_up(&fake, features, pairs > 1 ? 2u * pairs + 1 : 3, SIZE);
	(void)fake_interrupts(&fake);
}

static void teardown(void)
{
	if (fake.v != NULL)
		fake_free(&fake);
	if (other.v != NULL)
		fake_free(&other);
}

TestSuite(net, .fini = teardown, .timeout = 60);

static unsigned config16(struct fake *f, size_t off)
{
	return fake_read(f, R_CONFIG + (off & ~(size_t)3)) >> (8 * (off & 3)) & 0xffff;
}

static unsigned link_status(struct fake *f)
{
	return config16(f, offsetof(struct virtio_net_config, status));
}

static bool broken(struct fake *f)
{
	return (fake_read(f, R_STATUS) & VIRTIO_NEEDS_RESET) != 0;
}

static void post_rx(struct fake *f, unsigned queue, unsigned n, uint32_t len)
{
	for (unsigned i = 0; i < n; i++) {
		unsigned at = f->q[queue].next_desc % SIZE;

		fake_post(f, queue, &(struct fake_seg){BUFFER + at * 0x1000u, len, true}, 1);
	}
}

/* The next used buffer of the receive queue; its length in *len. */
static const uint8_t *received(struct fake *f, unsigned queue, uint32_t *len)
{
	uint32_t id;

	if (!fake_used(f, queue, &id, len))
		return NULL;
	return fake_ram(f, BUFFER + id * 0x1000u, 0x1000);
}

static struct virtio_net_hdr_v1 plain_header(void)
{
	return (struct virtio_net_hdr_v1){0};
}

/* Send one frame of `len` bytes behind a header; true: the driver got it back. */
static bool send(unsigned queue, const struct virtio_net_hdr_v1 *header, uint32_t len)
{
	const struct fake_seg seg[] = {{HEADER, sizeof(*header), false}, {FRAME, len, false}};
	uint8_t message[0x10000];
	uint32_t id, used;

	fake_net_message(message, fake_net_peer, NET_HEADER_SIZE + len, 7);
	memcpy(fake_ram(&fake, HEADER, sizeof(*header)), header, sizeof(*header));
	memcpy(fake_ram(&fake, FRAME, len), message + NET_HEADER_SIZE, len);
	fake_post(&fake, queue, seg, 2);
	fake_kick(&fake, queue);
	return fake_used(&fake, queue, &id, &used);
}

/* A command with its data; what the device answered, or 0xff. */
static uint8_t command_to(struct fake *f, unsigned queue, uint8_t class, uint8_t cmd,
			  const void *data, uint32_t len)
{
	const struct fake_seg seg[] = {{COMMAND, 2 + len, false}, {ACK, 1, true}};
	uint8_t *bytes = fake_ram(f, COMMAND, 2 + len);
	uint32_t id, used;

	bytes[0] = class;
	bytes[1] = cmd;
	memcpy(bytes + 2, data, len);
	*(uint8_t *)fake_ram(f, ACK, 1) = 0xff;
	fake_post(f, queue, seg, 2);
	fake_kick(f, queue);
	if (fake_used(f, queue, &id, &used))
		cr_assert(eq(u32, used, 1));
	return *(uint8_t *)fake_ram(f, ACK, 1);
}

static uint8_t command(unsigned queue, uint8_t class, uint8_t cmd, const void *data, uint32_t len)
{
	return command_to(&fake, queue, class, cmd, data, len);
}

static int give(size_t len, uint8_t first)
{
	return fake_net_give(&net, fake_net_mac, len, first);
}

Test(net, what_is_offered_does_not_depend_on_the_back_end)
{
	fake_net_plug(&fake, 1);
	cr_assert(eq(u64, fake.v->offered & ~VIRTIO_COMMON_FEATURES, ALL));
	fake_net_plug(&other, 4);
	fake_net_connect(&net, &other);
	cr_assert(eq(u64, other.v->offered & ~VIRTIO_COMMON_FEATURES, ALL | F(MQ)));
	cr_assert(eq(u32, other.v->s.nqueues, 9));
}

Test(net, configuration)
{
	start_with(ALL, 1);
	cr_assert(eq(u32, fake_read(&fake, R_CONFIG), le_get32(fake_net_mac)));
	cr_assert(eq(uint, config16(&fake, offsetof(struct virtio_net_config, mtu)), 1500));
	cr_assert(eq(uint, config16(&fake, 8), 1));
	cr_assert(eq(uint, link_status(&fake), VIRTIO_NET_S_LINK_UP));
	/* §5.1.4: nothing of it is the driver's to write. */
	fake_write(&fake, R_CONFIG, 0);
	cr_assert(eq(u32, fake_read(&fake, R_CONFIG), le_get32(fake_net_mac)));
}

Test(net, a_frame_is_sent_as_it_is)
{
	struct virtio_net_hdr_v1 h = plain_header();

	start_with(ALL, 1);
	cr_assert(send(TX, &h, 100));
	cr_assert(eq(uint, net.sent, 1));
	cr_assert(eq(sz, net.len, 112));
	cr_assert(eq(int, memcmp(net.message + 12, fake_ram(&fake, FRAME, 100), 100), 0));
	cr_assert(eq(u64, fake_net_card(&fake)->sent.frames, 1));
	cr_assert(eq(u64, fake_net_card(&fake)->sent.bytes, 100));
}

Test(net, a_large_frame_is_sent_whole)
{
	struct virtio_net_hdr_v1 h = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM | 0xf0, /* bits that nobody knows */
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN,
		.gso_size = 1448,
		.csum_start = 34,
		.csum_offset = 16,
		.num_buffers = 7,
	};
	const struct virtio_net_hdr_v1 *seen = (const void *)net.message;

	start_with(ALL, 1);
	cr_assert(send(TX, &h, 60000));
	cr_assert(eq(sz, net.len, 60012));
	cr_assert(eq(u8, seen->flags, VIRTIO_NET_HDR_F_NEEDS_CSUM));
	cr_assert(eq(u8, seen->gso_type, h.gso_type));
	cr_assert(eq(u16, seen->gso_size, 1448));
	cr_assert(eq(u16, seen->csum_start, 34));
	cr_assert(eq(u16, seen->num_buffers, 0));
}

Test(net, a_header_that_breaks_the_rules_breaks_the_device)
{
	static const struct virtio_net_hdr_v1 headers[] = {
		{.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 99},
		{.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 0xffff, .csum_offset = 0xffff},
		{.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_offset = 99},
		{.gso_type = VIRTIO_NET_HDR_GSO_UDP, .gso_size = 100},
		{.gso_type = 2, .gso_size = 100},
		{.gso_type = 0xff, .gso_size = 100},
		{.gso_type = VIRTIO_NET_HDR_GSO_ECN, .gso_size = 100},
		{.gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 100},
		{.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = VIRTIO_NET_HDR_GSO_TCPV6},
	};

	start_with(ALL, 1);
	for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
		cr_assert(not(send(TX, &headers[i], 100)));
		cr_assert(broken(&fake), "header %zu", i);
		fake_bring_up(&fake, ALL, 3, SIZE);
	}
	cr_assert(eq(uint, net.sends, 0));
	cr_assert(eq(uint, fake_log_lines(&fake), ARRAY_SIZE(headers)));
}

Test(net, what_was_not_negotiated_is_not_done)
{
	static const struct virtio_net_hdr_v1 headers[] = {
		{.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 16},
		{.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		 .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		 .gso_size = 100},
		{.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		 .gso_type = VIRTIO_NET_HDR_GSO_TCPV6,
		 .gso_size = 100},
		{.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		 .gso_type = VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN,
		 .gso_size = 100},
	};
	static const uint64_t missing[] = {SENDING, F(HOST_TSO4), F(HOST_TSO6), F(HOST_ECN)};

	start_with(ALL, 1);
	for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
		fake_bring_up(&fake, ALL & ~missing[i], 3, SIZE);
		cr_assert(not(send(TX, &headers[i], 100)));
		cr_assert(broken(&fake), "header %zu", i);
	}
}

Test(net, a_header_that_is_cut_short_breaks_the_device)
{
	start_with(ALL, 1);
	fake_post(&fake, TX, &(struct fake_seg){HEADER, 11, false}, 1);
	fake_kick(&fake, TX);
	cr_assert(broken(&fake));
}

Test(net, a_senseless_frame_is_dropped)
{
	struct fake_seg seg[NET_MAX_SEGMENTS + 1] = {{HEADER, 12, false}};
	struct virtio_net_hdr_v1 h = plain_header();
	uint32_t id, len;

	start_with(ALL | VIRTIO_INDIRECT_DESC, 1);
	memset(fake_ram(&fake, HEADER, 12), 0, 12);
	cr_assert(send(TX, &h, 0));
	cr_assert(send(TX, &h, 13));
	fake_post(&fake, TX, (struct fake_seg[]){{HEADER, 12, false}, {FRAME, 0x12000, false}}, 2);
	fake_kick(&fake, TX);
	cr_assert(fake_used(&fake, TX, &id, &len));
	for (unsigned i = 1; i < ARRAY_SIZE(seg); i++)
		seg[i] = (struct fake_seg){FRAME, 10, false};
	fake_post_indirect(&fake, TX, COMMAND, seg, ARRAY_SIZE(seg));
	fake_kick(&fake, TX);
	cr_assert(fake_used(&fake, TX, &id, &len));
	cr_assert(eq(uint, net.sends, 0));
	cr_assert(eq(u64, fake_net_card(&fake)->sent.dropped, 4));
	cr_assert(not(broken(&fake)));
	/* One buffer less is as many as a back end takes. */
	fake_post_indirect(&fake, TX, COMMAND, seg, ARRAY_SIZE(seg) - 1);
	fake_kick(&fake, TX);
	cr_assert(eq(uint, net.sent, 1));
}

Test(net, what_the_back_end_refuses_stays_in_the_queue)
{
	struct virtio_net_hdr_v1 h = plain_header();
	struct net_card *card;

	start_with(ALL, 1);
	card = fake_net_card(&fake);
	net.full = true;
	cr_assert(not(send(TX, &h, 100)));
	cr_assert(not(send(TX, &h, 101)));
	cr_assert(eq(uint, net.sends, 1), "it said that it would tell");
	net.full = false;
	card->ops->writable(card);
	cr_assert(eq(uint, net.sent, 2));
	cr_assert(eq(sz, net.len, 113));
}

Test(net, a_busy_queue_is_served_in_turns)
{
	struct virtio_net_hdr_v1 h = plain_header();
	const struct fake_seg seg[] = {{HEADER, 12, false}, {FRAME, 60, false}};

	fake_net_plug(&fake, 1);
	fake_net_connect(&net, &fake);
	fake_bring_up(&fake, ALL | VIRTIO_INDIRECT_DESC, 3, 128);
	memcpy(fake_ram(&fake, HEADER, sizeof(h)), &h, sizeof(h));
	for (unsigned i = 0; i < 100; i++)
		fake_post_indirect(&fake, TX, COMMAND, seg, 2);
	fake_kick(&fake, TX);
	cr_assert(lt(uint, net.sent, 100));
	fake_loop(&fake);
	fake_loop(&fake);
	cr_assert(eq(uint, net.sent, 100));
}

Test(net, a_frame_is_received)
{
	const struct virtio_net_hdr_v1 *h;
	uint32_t len;

	start_with(ALL, 1);
	post_rx(&fake, RX, 1, 0x800);
	cr_assert(eq(int, give(112, 3), 0));
	cr_assert(eq(uint, fake_interrupts(&fake), 0), "not before the round is over");
	fake_loop(&fake);
	cr_assert(eq(uint, fake_interrupts(&fake), 1));
	h = (const void *)received(&fake, RX, &len);
	cr_assert(h != NULL);
	cr_assert(eq(u32, len, 112));
	cr_assert(eq(u16, h->num_buffers, 1));
	cr_assert(eq(int, memcmp(h + 1, fake_net_mac, NET_MAC_SIZE), 0));
	cr_assert(eq(u8, ((const uint8_t *)h)[111], (uint8_t)(3 + 99)));
}

Test(net, one_interrupt_for_all_of_a_round)
{
	start_with(ALL, 1);
	post_rx(&fake, RX, 8, 0x800);
	for (uint8_t i = 0; i < 8; i++)
		cr_assert(eq(int, give(112, i), 0));
	fake_loop(&fake);
	cr_assert(eq(uint, fake_interrupts(&fake), 1));
}

Test(net, a_large_frame_takes_several_buffers)
{
	const uint8_t *part;
	size_t seen = 0;
	uint32_t len;

	start_with(ALL, 1);
	post_rx(&fake, RX, 20, 0x1000);
	cr_assert(eq(int, give(50000, 1), 0));
	for (unsigned i = 0; i < 13; i++) {
		part = received(&fake, RX, &len);
		cr_assert(part != NULL);
		if (i == 0)
			cr_assert(eq(uint, le_get16(part + 10), 13));
		for (uint32_t k = i == 0 ? 24 : 0; k < len; k++)
			cr_assert(eq(u8, part[k], (uint8_t)(1 + seen + k - 12)));
		seen += len;
	}
	cr_assert(eq(sz, seen, 50000));
	cr_assert(received(&fake, RX, &len) == NULL);
}

Test(net, the_place_for_num_buffers_may_be_cut)
{
	const struct fake_seg seg[] = {{BUFFER, 11, true},
				       {BUFFER + 0x100, 1, true},
				       {BUFFER + 0x200, 0, true},
				       {BUFFER + 0x300, 200, true}};
	uint32_t id, len;

	start_with(ALL, 1);
	fake_post(&fake, RX, seg, 4);
	cr_assert(eq(int, give(112, 1), 0));
	cr_assert(fake_used(&fake, RX, &id, &len));
	cr_assert(eq(u32, len, 112));
	cr_assert(eq(u8, *(uint8_t *)fake_ram(&fake, BUFFER + 10, 1), 1));
	cr_assert(eq(u8, *(uint8_t *)fake_ram(&fake, BUFFER + 0x100, 1), 0));
}

Test(net, too_few_buffers_are_none)
{
	uint32_t len;

	start_with(ALL, 1);
	post_rx(&fake, RX, 3, 0x400);
	cr_assert(eq(int, give(5000, 1), -EAGAIN));
	cr_assert(received(&fake, RX, &len) == NULL);
	cr_assert(eq(uint, net.readies, 0));
	post_rx(&fake, RX, 3, 0x400);
	fake_kick(&fake, RX);
	cr_assert(eq(uint, net.readies, 1));
	cr_assert(eq(int, give(5000, 1), 0));
	cr_assert(received(&fake, RX, &len) != NULL);
	/* A wish that was met is not repeated. */
	post_rx(&fake, RX, 1, 0x400);
	fake_kick(&fake, RX);
	cr_assert(eq(uint, net.readies, 1));
}

Test(net, what_can_never_fit_is_lost)
{
	start_with(ALL, 1);
	post_rx(&fake, RX, SIZE, 16);
	cr_assert(eq(int, give(5000, 1), 0));
	cr_assert(eq(u64, fake_net_card(&fake)->received.dropped, 1));
	cr_assert(not(broken(&fake)));
	cr_assert(eq(int, give(400, 1), 0));
	cr_assert(eq(u64, fake_net_card(&fake)->received.frames, 1));
	/* §5.1.6.4: without merging one buffer has to do. */
	fake_bring_up(&fake, ALL & ~F(MRG_RXBUF), 3, SIZE);
	post_rx(&fake, RX, 2, 1526);
	cr_assert(eq(int, give(1527, 1), 0));
	cr_assert(eq(u64, fake_net_card(&fake)->received.dropped, 2));
	cr_assert(eq(int, give(1526, 1), 0));
	cr_assert(eq(u64, fake_net_card(&fake)->received.frames, 2));
}

Test(net, senseless_buffers_break_the_device)
{
	static const struct fake_seg first[] = {
		{BUFFER, 0, true}, {BUFFER, 11, true}, {BUFFER, 100, false}};

	start_with(ALL, 1);
	for (size_t i = 0; i < ARRAY_SIZE(first); i++) {
		fake_post(&fake, RX, &first[i], 1);
		cr_assert(eq(int, give(200, 1), 0));
		cr_assert(broken(&fake), "buffer %zu", i);
		fake_bring_up(&fake, ALL, 3, SIZE);
	}
	/* A descriptor that leads to itself. */
	fake_desc(&fake, fake.q[RX].desc, 0, BUFFER, 10, D_WRITE | D_NEXT, 0);
	fake_make_available(&fake, RX, 0);
	cr_assert(eq(int, give(200, 1), 0));
	cr_assert(broken(&fake));
}

Test(net, frames_that_are_none_are_dropped)
{
	start_with(ALL, 1);
	post_rx(&fake, RX, 30, 0x1000);
	cr_assert(eq(int, give(25, 1), 0));
	cr_assert(eq(int, give(NET_MESSAGE_MAX + 1, 1), 0));
	cr_assert(eq(u64, fake_net_card(&fake)->received.dropped, 2));
	cr_assert(eq(int, give(26, 1), 0));
	cr_assert(eq(int, give(NET_MESSAGE_MAX, 1), 0));
	cr_assert(eq(u64, fake_net_card(&fake)->received.frames, 2));
}

static bool passes(const uint8_t *destination)
{
	uint64_t before = fake_net_card(&fake)->received.frames;

	post_rx(&fake, RX, 1, 0x800);
	cr_assert(eq(int, fake_net_give(&net, destination, 100, 1), 0));
	return fake_net_card(&fake)->received.frames > before;
}

static uint8_t rx_mode(uint8_t cmd, uint8_t on)
{
	return command(CTRL, VIRTIO_NET_CTRL_RX, cmd, &on, 1);
}

static const uint8_t stranger[] = {0x02, 7, 7, 7, 7, 7}, group[] = {0x33, 0x33, 0, 0, 0, 1},
		     everybody[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

Test(net, filters)
{
	static const struct {
		uint8_t cmd;
		bool own, stranger, group, everybody;
	} modes[] = {
		{VIRTIO_NET_CTRL_RX_PROMISC, true, true, true, true},
		{VIRTIO_NET_CTRL_RX_ALLMULTI, true, false, true, true},
		{VIRTIO_NET_CTRL_RX_ALLUNI, true, true, false, true},
		{VIRTIO_NET_CTRL_RX_NOMULTI, true, false, false, true},
		{VIRTIO_NET_CTRL_RX_NOUNI, false, false, false, true},
		{VIRTIO_NET_CTRL_RX_NOBCAST, true, false, false, false},
	};

	start_with(ALL, 1);
	cr_assert(passes(stranger), "everything, until the driver says what it wants");
	cr_assert(eq(u8, rx_mode(VIRTIO_NET_CTRL_RX_PROMISC, 0), VIRTIO_NET_OK));
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		cr_assert(eq(u8, rx_mode(modes[i].cmd, 1), VIRTIO_NET_OK));
		cr_expect_eq(passes(fake_net_mac), modes[i].own, "mode %zu", i);
		cr_expect_eq(passes(stranger), modes[i].stranger, "mode %zu", i);
		cr_expect_eq(passes(group), modes[i].group, "mode %zu", i);
		cr_expect_eq(passes(everybody), modes[i].everybody, "mode %zu", i);
		cr_assert(eq(u8, rx_mode(modes[i].cmd, 0), VIRTIO_NET_OK));
	}
}

/* Two lists of `uni` and `multi` addresses that end with stranger and group. */
static uint32_t mac_table(uint8_t *to, uint32_t uni, uint32_t multi)
{
	const uint32_t counts[] = {uni, multi};
	const uint8_t *const last[] = {stranger, group};
	uint8_t *at = to;

	for (unsigned list = 0; list < 2; list++) {
		le_put32(at, counts[list]);
		at += 4;
		for (uint32_t i = 0; i < counts[list]; i++, at += NET_MAC_SIZE) {
			memcpy(at, last[list], NET_MAC_SIZE);
			at[3] = (uint8_t)(counts[list] - 1 - i + last[list][3]);
		}
	}
	return (uint32_t)(at - to);
}

static uint8_t set_table(const void *table, uint32_t len)
{
	return command(CTRL, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, table, len);
}

Test(net, the_table_of_addresses)
{
	uint8_t table[2048], other_mac[] = {0x02, 8, 8, 8, 8, 8};
	uint32_t len;

	start_with(ALL, 1);
	cr_assert(eq(u8, rx_mode(VIRTIO_NET_CTRL_RX_PROMISC, 0), VIRTIO_NET_OK));
	len = mac_table(table, 3, 2);
	cr_assert(eq(u8, set_table(table, len), VIRTIO_NET_OK));
	cr_assert(passes(stranger));
	cr_assert(passes(group));
	cr_assert(passes(fake_net_mac));
	cr_assert(not(passes(other_mac)));
	/* More than there are places: nothing of that kind is filtered. */
	len = mac_table(table, 3, 100);
	cr_assert(eq(u8, set_table(table, len), VIRTIO_NET_OK));
	cr_assert(not(passes(other_mac)));
	cr_assert(passes((const uint8_t[]){0x33, 0x33, 9, 9, 9, 9}));
	len = mac_table(table, 100, 0);
	cr_assert(eq(u8, set_table(table, len), VIRTIO_NET_OK));
	cr_assert(passes(other_mac));
	cr_assert(not(passes(group)));
	cr_assert(eq(u8, set_table(table, mac_table(table, 0, 0)), VIRTIO_NET_OK));
	cr_assert(not(passes(other_mac)));
	cr_assert(not(passes(stranger)));
}

Test(net, a_table_that_lies_about_its_length_is_refused)
{
	uint8_t table[2048];
	uint32_t len = mac_table(table, 3, 2);

	start_with(ALL, 1);
	for (uint32_t cut = 0; cut < len; cut++)
		cr_assert(eq(u8, set_table(table, cut), VIRTIO_NET_ERR));
	cr_assert(eq(u8, set_table(table, len + 1), VIRTIO_NET_ERR));
	le_put32(table, UINT32_MAX);
	cr_assert(eq(u8, set_table(table, len), VIRTIO_NET_ERR));
	le_put32(table, 0x2aaaaaab); /* times 6: 2 */
	cr_assert(eq(u8, set_table(table, len), VIRTIO_NET_ERR));
	cr_assert(not(broken(&fake)));
}

Test(net, commands_that_make_no_sense_are_refused)
{
	uint8_t data[16] = {2};

	start_with(ALL, 1);
	cr_assert(eq(u8, rx_mode(VIRTIO_NET_CTRL_RX_PROMISC, 2), VIRTIO_NET_ERR));
	cr_assert(eq(u8, rx_mode(6, 1), VIRTIO_NET_ERR));
	cr_assert(eq(u8, command(CTRL, 99, 0, data, 1), VIRTIO_NET_ERR));
	cr_assert(eq(u8, command(CTRL, VIRTIO_NET_CTRL_VLAN, 0, data, 2), VIRTIO_NET_ERR));
	cr_assert(eq(u8, command(CTRL, VIRTIO_NET_CTRL_MAC, 1, data, 5), VIRTIO_NET_ERR));
	cr_assert(eq(u8, command(CTRL, VIRTIO_NET_CTRL_MAC, 1, group, 6), VIRTIO_NET_ERR));
	cr_assert(eq(u8, command(CTRL, VIRTIO_NET_CTRL_MQ, 0, data, 2), VIRTIO_NET_ERR));
	cr_assert(
		eq(u8, command(CTRL, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, data, 4), VIRTIO_NET_ERR));
	fake_bring_up(&fake, F(CTRL_VQ), 3, SIZE);
	cr_assert(eq(u8, rx_mode(VIRTIO_NET_CTRL_RX_PROMISC, 0), VIRTIO_NET_ERR));
	cr_assert(eq(u8, rx_mode(VIRTIO_NET_CTRL_RX_NOUNI, 1), VIRTIO_NET_ERR));
	cr_assert(eq(u8, set_table(data, mac_table(data, 0, 0)), VIRTIO_NET_ERR));
	cr_assert(eq(u8, command(CTRL, VIRTIO_NET_CTRL_MAC, 1, stranger, 6), VIRTIO_NET_ERR));
	cr_assert(eq(u8, command(CTRL, VIRTIO_NET_CTRL_ANNOUNCE, 0, data, 0), VIRTIO_NET_ERR));
	cr_assert(
		eq(u8, command(CTRL, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, data, 8), VIRTIO_NET_ERR));
	cr_assert(not(broken(&fake)));
	/* Where there is no room for the answer, nothing can be said. */
	fake_post(&fake, CTRL, &(struct fake_seg){COMMAND, 3, false}, 1);
	fake_kick(&fake, CTRL);
	cr_assert(broken(&fake));
}

static void count_change(void *opaque)
{
	++*(unsigned *)opaque;
}

Test(net, the_driver_may_change_the_address)
{
	unsigned changes = 0;

	start_with(ALL, 1);
	fake_net_card(&fake)->mac_changed = count_change;
	fake_net_card(&fake)->opaque = &changes;
	cr_assert(eq(u8, rx_mode(VIRTIO_NET_CTRL_RX_PROMISC, 0), VIRTIO_NET_OK));
	cr_assert(eq(uint, changes, 0));
	cr_assert(eq(u8,
		     command(CTRL, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, stranger, 6),
		     VIRTIO_NET_OK));
	cr_assert(eq(uint, changes, 1));
	cr_assert(passes(stranger));
	cr_assert(not(passes(fake_net_mac)));
	cr_assert(eq(int, memcmp(fake_net_card(&fake)->mac, stranger, 6), 0));
	fake_bring_up(&fake, ALL, 3, SIZE);
	cr_assert(eq(int, memcmp(fake_net_card(&fake)->mac, fake_net_mac, 6), 0));
	cr_assert(eq(uint, changes, 2));
}

Test(net, offloads_follow_the_driver)
{
	uint8_t on[8];

	start_with(ALL, 1);
	cr_assert(eq(uint, net.accepted, NET_OFFLOADS));
	le_put64(on, F(GUEST_CSUM) | F(GUEST_TSO4));
	cr_assert(eq(u8, command(CTRL, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, on, 8), VIRTIO_NET_OK));
	cr_assert(eq(uint, net.accepted, NET_CHECKSUM | NET_TSO4));
	le_put64(on, F(GUEST_TSO4)); /* nothing without checksums */
	cr_assert(eq(u8, command(CTRL, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, on, 8), VIRTIO_NET_OK));
	cr_assert(eq(uint, net.accepted, 0));
	le_put64(on, F(GUEST_CSUM) | F(GUEST_UFO));
	cr_assert(eq(u8, command(CTRL, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, on, 8), VIRTIO_NET_ERR));
	fake_bring_up(&fake, ALL & ~(F(GUEST_TSO6) | F(GUEST_ECN)), 3, SIZE);
	cr_assert(eq(uint, net.accepted, NET_CHECKSUM | NET_TSO4));
	fake_write(&fake, R_STATUS, 0);
	cr_assert(eq(uint, net.accepted, 0));
}

Test(net, the_link)
{
	struct virtio_net_hdr_v1 h = plain_header();
	struct net_card *card;

	start_with(ALL, 1);
	card = fake_net_card(&fake);
	card->ops->link(card, true);
	cr_assert(eq(uint, fake_interrupts(&fake), 0));
	card->ops->link(card, false);
	cr_assert(eq(uint, fake_interrupts(&fake), 1));
	cr_assert(eq(u32, fake_read(&fake, R_INTERRUPT_STATUS) & VIRTIO_CAUSE_CONFIG,
		     VIRTIO_CAUSE_CONFIG));
	cr_assert(eq(uint, link_status(&fake), 0));
	post_rx(&fake, RX, 1, 0x800);
	cr_assert(eq(int, give(100, 1), 0));
	cr_assert(send(TX, &h, 100));
	cr_assert(eq(uint, net.sends, 0));
	cr_assert(eq(u64, card->received.frames, 0));
	/* Between quiesce and start the driver is told later. */
	fake.v->dev.ops->quiesce(&fake.v->dev);
	(void)fake_interrupts(&fake);
	card->ops->link(card, true);
	cr_assert(eq(uint, fake_interrupts(&fake), 0));
	fake.v->dev.ops->start(&fake.v->dev);
	cr_assert(ge(uint, fake_interrupts(&fake), 1));
	cr_assert(eq(uint, link_status(&fake), VIRTIO_NET_S_LINK_UP));
}

Test(net, a_card_without_back_end_has_no_link)
{
	struct virtio_net_hdr_v1 h = plain_header();

	fake_net_plug(&fake, 1);
	fake_bring_up(&fake, ALL, 3, SIZE);
	cr_assert(eq(uint, link_status(&fake), 0));
	cr_assert(send(TX, &h, 100));
	cr_assert(eq(u64, fake_net_card(&fake)->sent.dropped, 1));
	(void)fake_interrupts(&fake);
	fake_net_connect(&net, &fake);
	cr_assert(eq(uint, link_status(&fake), VIRTIO_NET_S_LINK_UP));
	cr_assert(eq(uint, fake_interrupts(&fake), 1));
	cr_assert(eq(uint, net.starts, 1));
	cr_assert(eq(uint, net.accepted, NET_OFFLOADS));
	cr_assert(send(TX, &h, 100));
	cr_assert(eq(uint, net.sent, 1));
}

Test(net, the_back_end_is_closed_with_the_card)
{
	start_with(ALL, 1);
	fake_free(&fake);
	fake.v = NULL;
	cr_assert(net.closed);
}

/* --- several queues --- */

#define MANY	  (ALL | F(MQ))
#define MANY_CTRL 8u

static uint8_t set_pairs(uint16_t pairs)
{
	uint8_t data[2];

	le_put16(data, pairs);
	return command(MANY_CTRL, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, data, 2);
}

/* A UDP frame of IPv4 between two ports, one way or the other. */
static void udp_frame(uint8_t *frame, uint8_t flow, bool to_guest)
{
	const uint8_t guest[] = {10, 0, 2, 15, 0x12, flow}, peer[] = {10, 0, 2, 2, 0, 53};

	memset(frame, 0, 60);
	memcpy(frame, to_guest ? fake_net_mac : fake_net_peer, 6);
	frame[12] = 8;
	frame[14] = 0x45;
	frame[23] = 17;
	memcpy(frame + 26, to_guest ? peer : guest, 4);
	memcpy(frame + 30, to_guest ? guest : peer, 4);
	memcpy(frame + 34, (to_guest ? peer : guest) + 4, 2);
	memcpy(frame + 36, (to_guest ? guest : peer) + 4, 2);
}

static void send_udp(unsigned pair, uint8_t flow)
{
	const struct fake_seg seg[] = {{HEADER, 12, false}, {FRAME, 60, false}};

	memset(fake_ram(&fake, HEADER, 12), 0, 12);
	udp_frame(fake_ram(&fake, FRAME, 60), flow, false);
	fake_post(&fake, 2 * pair + 1, seg, 2);
	fake_kick(&fake, 2 * pair + 1);
}

/* The pair on which a frame of the flow arrives. */
static unsigned arrives_on(uint8_t flow)
{
	struct net_card *card = fake_net_card(&fake);
	uint8_t message[72] = {0};
	const struct iovec iov = {.iov_base = message, .iov_len = sizeof(message)};
	uint32_t id, len;

	udp_frame(message + 12, flow, true);
	for (unsigned i = 0; i < 4; i++)
		post_rx(&fake, 2 * i, 1, 0x800);
	cr_assert(eq(int, card->ops->receive(card, &iov, 1, sizeof(message)), 0));
	for (unsigned i = 0; i < 4; i++) {
		if (fake_used(&fake, 2 * i, &id, &len))
			return i;
	}
	return 99;
}

Test(net, flows_come_back_where_they_were_sent)
{
	start_with(MANY, 4);
	send_udp(2, 1);
	cr_assert(eq(uint, arrives_on(1), 0), "one pair is in use at first");
	cr_assert(eq(u8, set_pairs(4), VIRTIO_NET_OK));
	send_udp(2, 1);
	send_udp(3, 2);
	cr_assert(eq(uint, net.sent, 3));
	cr_assert(eq(uint, arrives_on(1), 2));
	cr_assert(eq(uint, arrives_on(2), 3));
	cr_assert(eq(uint, arrives_on(9), 0));
	cr_assert(eq(u8, set_pairs(2), VIRTIO_NET_OK));
	cr_assert(eq(uint, arrives_on(2), 0));
	cr_assert(eq(u8, set_pairs(0), VIRTIO_NET_ERR));
	cr_assert(eq(u8, set_pairs(5), VIRTIO_NET_ERR));
}

Test(net, the_control_queue_of_a_driver_with_one_pair_is_the_third)
{
	fake_net_plug(&fake, 4);
	fake_net_connect(&net, &fake);
	fake_bring_up(&fake, ALL, 3, SIZE);
	cr_assert(eq(u8, rx_mode(VIRTIO_NET_CTRL_RX_PROMISC, 0), VIRTIO_NET_OK));
}

/* --- saving and waking --- */

static void wake(uint16_t pairs, bool connect)
{
	struct err err = {0};

	fake_net_plug(&other, pairs);
	cr_assert(eq(int, fake_move(&fake, &other, &err), 0), "%s", err.text);
	if (connect)
		fake_net_connect(&net2, &other);
}

Test(net, what_the_driver_said_survives)
{
	uint8_t table[64];
	const struct net_card *card;

	start_with(ALL, 1);
	rx_mode(VIRTIO_NET_CTRL_RX_PROMISC, 0);
	set_table(table, mac_table(table, 1, 1));
	wake(1, true);
	card = fake_net_card(&other);
	post_rx(&other, RX, 3, 0x800);
	fake_net_give(&net2, stranger, 100, 1);
	fake_net_give(&net2, group, 100, 1);
	cr_assert(eq(u64, card->received.frames, 2));
	fake_net_give(&net2, (const uint8_t[]){0x02, 8, 8, 8, 8, 8}, 100, 1);
	cr_assert(eq(u64, card->received.frames, 2));
	cr_assert(eq(uint, net2.accepted, NET_OFFLOADS));
}

Test(net, frames_in_hand_survive)
{
	const uint8_t *frame;
	uint32_t len;

	start_with(ALL, 1);
	post_rx(&fake, RX, 2, 0x800);
	net.arrived = 6;
	net.size = 700;
	wake(1, false);
	cr_assert(eq(uint, net.quiesces, 1));
	cr_assert(eq(uint, net.arrived, 0));
	for (uint8_t i = 6; i > 4; i--) {
		frame = received(&other, RX, &len);
		cr_assert(frame != NULL);
		cr_assert(eq(u8, frame[24], (uint8_t)(i + 12)));
	}
	/* Nothing moves before it is known what is behind the card. */
	post_rx(&other, RX, 3, 0x800);
	fake_kick(&other, RX);
	cr_assert(received(&other, RX, &len) == NULL);
	fake_net_connect(&net2, &other);
	for (uint8_t i = 4; i > 1; i--) {
		frame = received(&other, RX, &len);
		cr_assert(frame != NULL);
		cr_assert(eq(u32, len, 700));
		cr_assert(eq(u8, frame[24], (uint8_t)(i + 12)));
	}
	/* The rest comes before anything new. */
	cr_assert(eq(int, fake_net_give(&net2, fake_net_mac, 100, 77), -EAGAIN));
	post_rx(&other, RX, 2, 0x800);
	fake_kick(&other, RX);
	cr_assert(eq(uint, net2.readies, 1));
	frame = received(&other, RX, &len);
	cr_assert(eq(u8, frame[24], 1 + 12));
	cr_assert(eq(int, fake_net_give(&net2, fake_net_mac, 100, 77), 0));
}

Test(net, the_backlog_has_an_end)
{
	start_with(ALL, 1);
	net.arrived = 100;
	net.size = 20000;
	fake.v->dev.ops->quiesce(&fake.v->dev);
	cr_assert(eq(uint, net.arrived, 96));
	/* It goes on here: what was taken comes first. */
	post_rx(&fake, RX, 60, 0x1000);
	fake.v->dev.ops->start(&fake.v->dev);
	cr_assert(eq(u64, fake_net_card(&fake)->received.frames, 4));
	cr_assert(eq(uint, net.readies, 1));
	cr_assert(eq(uint, net.starts, 2));
}

Test(net, the_largest_frame_in_hand_survives)
{
	start_with(ALL, 1);
	net.arrived = 1;
	net.size = NET_MESSAGE_MAX;
	wake(1, true);
	cr_assert(eq(uint, net.arrived, 0));
	post_rx(&other, RX, 20, 0x1000);
	fake_kick(&other, RX);
	cr_assert(eq(u64, fake_net_card(&other)->received.bytes, NET_FRAME_MAX));
}

Test(net, what_was_to_be_sent_survives)
{
	struct virtio_net_hdr_v1 h = plain_header();
	uint32_t id, len;

	start_with(ALL, 1);
	net.full = true;
	send(TX, &h, 100);
	wake(1, false);
	cr_assert(not(fake_used(&other, TX, &id, &len)));
	fake_net_connect(&net2, &other);
	cr_assert(eq(uint, net2.sent, 1));
	cr_assert(fake_used(&other, TX, &id, &len));
}

Test(net, waking_announces)
{
	const unsigned up = VIRTIO_NET_S_LINK_UP;

	start_with(ALL, 1);
	wake(1, false);
	(void)fake_interrupts(&other);
	fake_net_connect(&net2, &other);
	cr_assert(eq(uint, fake_interrupts(&other), 1));
	cr_assert(eq(uint, link_status(&other), up | VIRTIO_NET_S_ANNOUNCE));
	cr_assert(eq(u8,
		     command_to(&other, CTRL, VIRTIO_NET_CTRL_ANNOUNCE,
				VIRTIO_NET_CTRL_ANNOUNCE_ACK, "", 0),
		     VIRTIO_NET_OK));
	cr_assert(eq(uint, link_status(&other), up));
	/* A pause is no wake. */
	other.v->dev.ops->quiesce(&other.v->dev);
	other.v->dev.ops->start(&other.v->dev);
	cr_assert(eq(uint, link_status(&other), up));
}

Test(net, an_announcement_waits_for_the_link)
{
	struct net_card *card;

	start_with(ALL, 1);
	wake(1, false);
	card = fake_net_card(&other);
	card->ops->link(card, false);
	cr_assert(eq(uint, link_status(&other), 0));
	(void)fake_interrupts(&other);
	card->ops->link(card, true);
	cr_assert(eq(uint, fake_interrupts(&other), 1));
	cr_assert(eq(uint, link_status(&other), VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE));
}

/* A segment of a connection from the guest, as the back end would note it. */
static void note_connection(struct net_flows *flows, uint8_t port)
{
	uint8_t frame[54] = {0};

	memcpy(frame, fake_net_peer, 6);
	memcpy(frame + 6, fake_net_mac, 6);
	frame[12] = 8;
	memcpy(frame + 14, (const uint8_t[]){0x45, 0, 0, 40}, 4);
	frame[23] = 6;
	memcpy(frame + 26, (const uint8_t[]){10, 0, 2, 15, 10, 0, 2, 2}, 8);
	memcpy(frame + 34, (const uint8_t[]){0x12, port, 0, 80}, 4);
	frame[46] = 0x50;
	frame[47] = 2; /* SYN */
	net_flows_note(flows, frame, sizeof(frame));
	frame[47] = 0x10;
	frame[45] = 99;
	net_flows_note(flows, frame, sizeof(frame));
}

/* Nothing of what the device did not get to the end of is in hand. */
Test(net, a_broken_device_can_be_saved)
{
	struct virtio_net_hdr_v1 bad = {.gso_type = 2};

	start_with(ALL, 1);
	send(TX, &bad, 100);
	cr_assert(broken(&fake));
	wake(1, true);
	fake_free(&other);
	fake_bring_up(&fake, ALL, 3, SIZE);
	fake.v->dev.ops->start(&fake.v->dev);
	memset(&net2, 0, sizeof(net2));
	post_rx(&fake, RX, 1, 100);
	post_rx(&fake, RX, 1, 0);
	give(1000, 1);
	cr_assert(broken(&fake));
	wake(1, true);
	fake_free(&other);
	fake_bring_up(&fake, ALL, 3, SIZE);
	fake.v->dev.ops->start(&fake.v->dev);
	memset(&net2, 0, sizeof(net2));
	fake_post(&fake, CTRL, &(struct fake_seg){COMMAND, 3, false}, 1);
	fake_kick(&fake, CTRL);
	cr_assert(broken(&fake));
	wake(1, true);
}

Test(net, connections_are_reset_before_anything_is_sent)
{
	struct virtio_net_hdr_v1 h = plain_header();
	const uint8_t *frame;
	uint32_t len, id;

	start_with(ALL, 1);
	for (uint8_t port = 0; port < 3; port++)
		note_connection(fake_net_card(&fake)->flows, port);
	cr_assert(eq(u32, fake_net_card(&fake)->flows->n, 3));
	net.full = true;
	send(TX, &h, 100);
	wake(1, true);
	cr_assert(eq(u32, fake_net_card(&other)->flows->n, 3));
	post_rx(&other, RX, 2, 0x800);
	fake_kick(&other, RX);
	frame = received(&other, RX, &len);
	cr_assert(frame != NULL);
	cr_assert(eq(int, memcmp(frame + 12, fake_net_mac, 6), 0));
	cr_assert(ne(uint, frame[12 + 47] & 4, 0), "RST");
	cr_assert(eq(uint, net2.sent, 0));
	post_rx(&other, RX, 8, 0x800);
	fake_kick(&other, RX);
	cr_assert(eq(u32, fake_net_card(&other)->flows->n, 0));
	cr_assert(eq(uint, net2.sent, 1));
	cr_assert(fake_used(&other, TX, &id, &len));
}

/* --- state from a stranger --- */

static void full_of_state(void)
{
	uint8_t table[64];

	start_with(MANY, 4);
	set_pairs(3);
	command(MANY_CTRL, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, table,
		mac_table(table, 2, 1));
	note_connection(fake_net_card(&fake)->flows, 1);
	net.arrived = 40;
	net.size = 1500;
}

Test(net, damaged_state_is_refused_or_harmless)
{
	uint64_t seed = 4711;
	unsigned taken = 0;
	struct err err;

	full_of_state();
	for (unsigned i = 0; i < 3000; i++) {
		memset(&net2, 0, sizeof(net2));
		fake_net_plug(&other, 4);
		if (fake_move_damaged(&fake, &other, &seed, &err) == 0) {
			taken++;
			fake_net_connect(&net2, &other);
			for (unsigned q = 0; q < 8; q++)
				fake_kick(&other, q);
			fake_net_give(&net2, fake_net_mac, 100, 1);
			fake_loop(&other);
		}
		fake_free(&other);
	}
	other.v = NULL;
	cr_assert(ge(uint, taken, 1));
	cr_assert(lt(uint, taken, 3000));
}

Test(net, waking_without_network_takes_the_link_down)
{
	struct net_card *card;

	start_with(ALL, 1);
	wake(1, false);
	card = fake_net_card(&other);
	cr_assert(eq(uint, link_status(&other) & VIRTIO_NET_S_LINK_UP, VIRTIO_NET_S_LINK_UP));
	(void)fake_interrupts(&other);
	card->ops->link(card, false);
	cr_assert(eq(uint, fake_interrupts(&other), 1));
	cr_assert(eq(uint, link_status(&other), 0));
}
