/* virtio-net from a guest's driver (virtio 1.2 §5.1), with a back end that plays the network: what
 * is offered, frames sent and received. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>

#include "base/num.h"
#include "devices/virtio/net_internal.h"
#include "tests/unit/net_driver.h"

TestSuite(net, .fini = card_end);

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
	card_start(ALL, 1);
	cr_assert(eq(u32, fake_read(&fake, R_CONFIG), le_get32(fake_net_mac)));
	cr_assert(eq(uint, card_config16(&fake, offsetof(struct virtio_net_config, mtu)), 1500));
	cr_assert(eq(uint, card_config16(&fake, 8), 1));
	cr_assert(eq(uint, card_link_status(&fake), VIRTIO_NET_S_LINK_UP));
	/* §5.1.4: nothing of it is the driver's to write. */
	fake_write(&fake, R_CONFIG, 0);
	cr_assert(eq(u32, fake_read(&fake, R_CONFIG), le_get32(fake_net_mac)));
}

Test(net, a_frame_is_sent_as_it_is)
{
	struct virtio_net_hdr_v1 h = {0};

	card_start(ALL, 1);
	cr_assert(card_send(TX, &h, 100));
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

	card_start(ALL, 1);
	cr_assert(card_send(TX, &h, 60000));
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

	card_start(ALL, 1);
	for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
		cr_assert(not(card_send(TX, &headers[i], 100)));
		cr_assert(card_broken(&fake), "header %zu", i);
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

	card_start(ALL, 1);
	for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
		fake_bring_up(&fake, ALL & ~missing[i], 3, SIZE);
		cr_assert(not(card_send(TX, &headers[i], 100)));
		cr_assert(card_broken(&fake), "header %zu", i);
	}
}

Test(net, a_header_that_is_cut_short_breaks_the_device)
{
	card_start(ALL, 1);
	fake_post(&fake, TX, &(struct fake_seg){HEADER, 11, false}, 1);
	fake_kick(&fake, TX);
	cr_assert(card_broken(&fake));
}

Test(net, a_senseless_frame_is_dropped)
{
	struct fake_seg seg[NET_MAX_SEGMENTS + 1] = {{HEADER, 12, false}};
	struct virtio_net_hdr_v1 h = {0};
	uint32_t id, len;

	card_start(ALL | VIRTIO_INDIRECT_DESC, 1);
	memset(fake_ram(&fake, HEADER, 12), 0, 12);
	cr_assert(card_send(TX, &h, 0));
	cr_assert(card_send(TX, &h, 13));
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
	cr_assert(not(card_broken(&fake)));
	/* One buffer less is as many as a back end takes. */
	fake_post_indirect(&fake, TX, COMMAND, seg, ARRAY_SIZE(seg) - 1);
	fake_kick(&fake, TX);
	cr_assert(eq(uint, net.sent, 1));
}

Test(net, what_the_back_end_refuses_stays_in_the_queue)
{
	struct virtio_net_hdr_v1 h = {0};
	struct net_card *card;

	card_start(ALL, 1);
	card = fake_net_card(&fake);
	net.full = true;
	cr_assert(not(card_send(TX, &h, 100)));
	cr_assert(not(card_send(TX, &h, 101)));
	cr_assert(eq(uint, net.sends, 1), "it said that it would tell");
	net.full = false;
	card->ops->writable(card);
	cr_assert(eq(uint, net.sent, 2));
	cr_assert(eq(sz, net.len, 113));
}

Test(net, a_busy_queue_is_served_in_turns)
{
	struct virtio_net_hdr_v1 h = {0};
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

/* Of a frame of 100 bytes the next one waits for more than a minute. */
static struct virtio_net *limit_card(void)
{
	static const struct net_limits slow = {.bytes = 1};
	struct net_card *card = fake_net_card(&fake);
	struct err err;

	cr_assert(eq(int, card->ops->limit(card, &slow, &err), 0), "%s", err.text);
	return container_of(card, struct virtio_net, card);
}

/* It is over. */
static void end_waiting(struct rate_gate *r)
{
	struct itimerspec set;

	cr_assert(eq(int, timerfd_gettime(r->timer.fd, &set), 0));
	cr_assert(ge(i64, set.it_value.tv_sec, 60));
	r->bytes.paid_ns = 0;
	r->timer.fn(r->timer.opaque);
}

Test(net, what_is_over_the_limit_stays_in_the_queue)
{
	struct virtio_net_hdr_v1 h = {0};
	struct virtio_net *n;

	card_start(ALL, 1);
	n = limit_card();
	cr_assert(card_send(TX, &h, 100));
	cr_assert_not(card_send(TX, &h, 101));
	fake_kick(&fake, TX);
	cr_assert(eq(uint, net.sent, 1));
	end_waiting(&n->tx_rate);
	cr_assert(eq(uint, net.sent, 2));
	cr_assert(eq(sz, net.len, 113));
}

Test(net, what_is_over_the_limit_stays_with_the_back_end)
{
	struct virtio_net *n;
	uint32_t len;

	card_start(ALL, 1);
	n = limit_card();
	card_post(&fake, RX, 4, 0x800);
	cr_assert(eq(int, card_give(112, 3), 0));
	cr_assert(eq(int, card_give(112, 4), -EAGAIN));
	cr_assert(zero(uint, net.readies));
	end_waiting(&n->rx_rate);
	cr_assert(eq(uint, net.readies, 1));
	cr_assert(eq(int, card_give(112, 4), 0));
	cr_assert_not_null(card_received(&fake, RX, &len));
	cr_assert_not_null(card_received(&fake, RX, &len));
}

/* What waits is in the file, as what had no buffers is. */
Test(net, what_is_over_the_limit_is_saved)
{
	card_start(ALL, 1);
	(void)limit_card();
	card_post(&fake, RX, 4, 0x800);
	cr_assert(eq(int, card_give(112, 3), 0));
	cr_assert(eq(int, card_give(112, 4), -EAGAIN));
	net.arrived = 1;
	net.size = 112;
	fake.v->dev.ops->quiesce(&fake.v->dev);
	cr_assert(zero(uint, net.arrived));
}

Test(net, a_frame_is_received)
{
	const struct virtio_net_hdr_v1 *h;
	uint32_t len;

	card_start(ALL, 1);
	card_post(&fake, RX, 1, 0x800);
	cr_assert(eq(int, card_give(112, 3), 0));
	cr_assert(eq(uint, fake_interrupts(&fake), 0), "not before the round is over");
	fake_loop(&fake);
	cr_assert(eq(uint, fake_interrupts(&fake), 1));
	h = (const void *)card_received(&fake, RX, &len);
	cr_assert(h != NULL);
	cr_assert(eq(u32, len, 112));
	cr_assert(eq(u16, h->num_buffers, 1));
	cr_assert(eq(int, memcmp(h + 1, fake_net_mac, NET_MAC_SIZE), 0));
	cr_assert(eq(u8, ((const uint8_t *)h)[111], (uint8_t)(3 + 99)));
}

Test(net, one_interrupt_for_all_of_a_round)
{
	card_start(ALL, 1);
	card_post(&fake, RX, 8, 0x800);
	for (uint8_t i = 0; i < 8; i++)
		cr_assert(eq(int, card_give(112, i), 0));
	fake_loop(&fake);
	cr_assert(eq(uint, fake_interrupts(&fake), 1));
}

Test(net, a_large_frame_takes_several_buffers)
{
	const uint8_t *part;
	size_t seen = 0;
	uint32_t len;

	card_start(ALL, 1);
	card_post(&fake, RX, 20, 0x1000);
	cr_assert(eq(int, card_give(50000, 1), 0));
	for (unsigned i = 0; i < 13; i++) {
		part = card_received(&fake, RX, &len);
		cr_assert(part != NULL);
		if (i == 0)
			cr_assert(eq(uint, le_get16(part + 10), 13));
		for (uint32_t k = i == 0 ? 24 : 0; k < len; k++)
			cr_assert(eq(u8, part[k], (uint8_t)(1 + seen + k - 12)));
		seen += len;
	}
	cr_assert(eq(sz, seen, 50000));
	cr_assert(card_received(&fake, RX, &len) == NULL);
}

Test(net, the_place_for_num_buffers_may_be_cut)
{
	const struct fake_seg seg[] = {{BUFFER, 11, true},
				       {BUFFER + 0x100, 1, true},
				       {BUFFER + 0x200, 0, true},
				       {BUFFER + 0x300, 200, true}};
	uint32_t id, len;

	card_start(ALL, 1);
	fake_post(&fake, RX, seg, 4);
	cr_assert(eq(int, card_give(112, 1), 0));
	cr_assert(fake_used(&fake, RX, &id, &len));
	cr_assert(eq(u32, len, 112));
	cr_assert(eq(u8, *(uint8_t *)fake_ram(&fake, BUFFER + 10, 1), 1));
	cr_assert(eq(u8, *(uint8_t *)fake_ram(&fake, BUFFER + 0x100, 1), 0));
}

Test(net, too_few_buffers_are_none)
{
	uint32_t len;

	card_start(ALL, 1);
	card_post(&fake, RX, 3, 0x400);
	cr_assert(eq(int, card_give(5000, 1), -EAGAIN));
	cr_assert(card_received(&fake, RX, &len) == NULL);
	cr_assert(eq(uint, net.readies, 0));
	card_post(&fake, RX, 3, 0x400);
	fake_kick(&fake, RX);
	cr_assert(eq(uint, net.readies, 1));
	cr_assert(eq(int, card_give(5000, 1), 0));
	cr_assert(card_received(&fake, RX, &len) != NULL);
	/* A wish that was met is not repeated. */
	card_post(&fake, RX, 1, 0x400);
	fake_kick(&fake, RX);
	cr_assert(eq(uint, net.readies, 1));
}

Test(net, what_can_never_fit_is_lost)
{
	card_start(ALL, 1);
	card_post(&fake, RX, SIZE, 16);
	cr_assert(eq(int, card_give(5000, 1), 0));
	cr_assert(eq(u64, fake_net_card(&fake)->received.dropped, 1));
	cr_assert(not(card_broken(&fake)));
	cr_assert(eq(int, card_give(400, 1), 0));
	cr_assert(eq(u64, fake_net_card(&fake)->received.frames, 1));
	/* §5.1.6.4: without merging one buffer has to do. */
	fake_bring_up(&fake, ALL & ~F(MRG_RXBUF), 3, SIZE);
	card_post(&fake, RX, 2, 1526);
	cr_assert(eq(int, card_give(1527, 1), 0));
	cr_assert(eq(u64, fake_net_card(&fake)->received.dropped, 2));
	cr_assert(eq(int, card_give(1526, 1), 0));
	cr_assert(eq(u64, fake_net_card(&fake)->received.frames, 2));
}

Test(net, senseless_buffers_break_the_device)
{
	static const struct fake_seg first[] = {
		{BUFFER, 0, true}, {BUFFER, 11, true}, {BUFFER, 100, false}};

	card_start(ALL, 1);
	for (size_t i = 0; i < ARRAY_SIZE(first); i++) {
		fake_post(&fake, RX, &first[i], 1);
		cr_assert(eq(int, card_give(200, 1), 0));
		cr_assert(card_broken(&fake), "buffer %zu", i);
		fake_bring_up(&fake, ALL, 3, SIZE);
	}
	/* A descriptor that leads to itself. */
	fake_desc(&fake, fake.q[RX].desc, 0, BUFFER, 10, D_WRITE | D_NEXT, 0);
	fake_make_available(&fake, RX, 0);
	cr_assert(eq(int, card_give(200, 1), 0));
	cr_assert(card_broken(&fake));
}

Test(net, frames_that_are_none_are_dropped)
{
	card_start(ALL, 1);
	card_post(&fake, RX, 30, 0x1000);
	cr_assert(eq(int, card_give(25, 1), 0));
	cr_assert(eq(int, card_give(NET_MESSAGE_MAX + 1, 1), 0));
	cr_assert(eq(u64, fake_net_card(&fake)->received.dropped, 2));
	cr_assert(eq(int, card_give(26, 1), 0));
	cr_assert(eq(int, card_give(NET_MESSAGE_MAX, 1), 0));
	cr_assert(eq(u64, fake_net_card(&fake)->received.frames, 2));
}
