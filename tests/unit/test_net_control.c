/* What a driver tells its network card: filters, addresses, offloads, pairs (virtio 1.2 §5.1.6.5);
 * and the link. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <linux/virtio_net.h>
#include <string.h>

#include "base/num.h"
#include "tests/unit/net_driver.h"

TestSuite(net_control, .fini = card_end);

static bool passes(const uint8_t *destination)
{
	uint64_t before = fake_net_card(&fake)->received.frames;

	card_post(&fake, RX, 1, 0x800);
	cr_assert(eq(int, fake_net_give(&net, destination, 100, 1), 0));
	return fake_net_card(&fake)->received.frames > before;
}

static const uint8_t everybody[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

Test(net_control, filters)
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

	card_start(ALL, 1);
	cr_assert(passes(card_stranger), "everything, until the driver says what it wants");
	cr_assert(eq(u8, card_rx_mode(VIRTIO_NET_CTRL_RX_PROMISC, 0), VIRTIO_NET_OK));
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		cr_assert(eq(u8, card_rx_mode(modes[i].cmd, 1), VIRTIO_NET_OK));
		cr_expect_eq(passes(fake_net_mac), modes[i].own, "mode %zu", i);
		cr_expect_eq(passes(card_stranger), modes[i].stranger, "mode %zu", i);
		cr_expect_eq(passes(card_group), modes[i].group, "mode %zu", i);
		cr_expect_eq(passes(everybody), modes[i].everybody, "mode %zu", i);
		cr_assert(eq(u8, card_rx_mode(modes[i].cmd, 0), VIRTIO_NET_OK));
	}
}

Test(net_control, the_table_of_addresses)
{
	uint8_t table[2048], other_mac[] = {0x02, 8, 8, 8, 8, 8};
	uint32_t len;

	card_start(ALL, 1);
	cr_assert(eq(u8, card_rx_mode(VIRTIO_NET_CTRL_RX_PROMISC, 0), VIRTIO_NET_OK));
	len = card_mac_table(table, 3, 2);
	cr_assert(eq(u8, card_set_table(table, len), VIRTIO_NET_OK));
	cr_assert(passes(card_stranger));
	cr_assert(passes(card_group));
	cr_assert(passes(fake_net_mac));
	cr_assert(not(passes(other_mac)));
	/* More than there are places: nothing of that kind is filtered. */
	len = card_mac_table(table, 3, 100);
	cr_assert(eq(u8, card_set_table(table, len), VIRTIO_NET_OK));
	cr_assert(not(passes(other_mac)));
	cr_assert(passes((const uint8_t[]){0x33, 0x33, 9, 9, 9, 9}));
	len = card_mac_table(table, 100, 0);
	cr_assert(eq(u8, card_set_table(table, len), VIRTIO_NET_OK));
	cr_assert(passes(other_mac));
	cr_assert(not(passes(card_group)));
	cr_assert(eq(u8, card_set_table(table, card_mac_table(table, 0, 0)), VIRTIO_NET_OK));
	cr_assert(not(passes(other_mac)));
	cr_assert(not(passes(card_stranger)));
}

Test(net_control, a_table_that_lies_about_its_length_is_refused)
{
	uint8_t table[2048];
	uint32_t len = card_mac_table(table, 3, 2);

	card_start(ALL, 1);
	for (uint32_t cut = 0; cut < len; cut++)
		cr_assert(eq(u8, card_set_table(table, cut), VIRTIO_NET_ERR));
	cr_assert(eq(u8, card_set_table(table, len + 1), VIRTIO_NET_ERR));
	le_put32(table, UINT32_MAX);
	cr_assert(eq(u8, card_set_table(table, len), VIRTIO_NET_ERR));
	le_put32(table, 0x2aaaaaab); /* times 6: 2 */
	cr_assert(eq(u8, card_set_table(table, len), VIRTIO_NET_ERR));
	cr_assert(not(card_broken(&fake)));
}

Test(net_control, commands_that_make_no_sense_are_refused)
{
	uint8_t data[16] = {2};

	card_start(ALL, 1);
	cr_assert(eq(u8, card_rx_mode(VIRTIO_NET_CTRL_RX_PROMISC, 2), VIRTIO_NET_ERR));
	cr_assert(eq(u8, card_rx_mode(6, 1), VIRTIO_NET_ERR));
	cr_assert(eq(u8, card_command(CTRL, 99, 0, data, 1), VIRTIO_NET_ERR));
	cr_assert(eq(u8, card_command(CTRL, VIRTIO_NET_CTRL_VLAN, 0, data, 2), VIRTIO_NET_ERR));
	cr_assert(eq(u8, card_command(CTRL, VIRTIO_NET_CTRL_MAC, 1, data, 5), VIRTIO_NET_ERR));
	cr_assert(
		eq(u8, card_command(CTRL, VIRTIO_NET_CTRL_MAC, 1, card_group, 6), VIRTIO_NET_ERR));
	cr_assert(eq(u8, card_command(CTRL, VIRTIO_NET_CTRL_MQ, 0, data, 2), VIRTIO_NET_ERR));
	cr_assert(eq(u8, card_command(CTRL, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, data, 4),
		     VIRTIO_NET_ERR));
	fake_bring_up(&fake, F(CTRL_VQ), 3, SIZE);
	cr_assert(eq(u8, card_rx_mode(VIRTIO_NET_CTRL_RX_PROMISC, 0), VIRTIO_NET_ERR));
	cr_assert(eq(u8, card_rx_mode(VIRTIO_NET_CTRL_RX_NOUNI, 1), VIRTIO_NET_ERR));
	cr_assert(eq(u8, card_set_table(data, card_mac_table(data, 0, 0)), VIRTIO_NET_ERR));
	cr_assert(eq(u8, card_command(CTRL, VIRTIO_NET_CTRL_MAC, 1, card_stranger, 6),
		     VIRTIO_NET_ERR));
	cr_assert(eq(u8, card_command(CTRL, VIRTIO_NET_CTRL_ANNOUNCE, 0, data, 0), VIRTIO_NET_ERR));
	cr_assert(eq(u8, card_command(CTRL, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, data, 8),
		     VIRTIO_NET_ERR));
	cr_assert(not(card_broken(&fake)));
	/* Where there is no room for the answer, nothing can be said. */
	fake_post(&fake, CTRL, &(struct fake_seg){COMMAND, 3, false}, 1);
	fake_kick(&fake, CTRL);
	cr_assert(card_broken(&fake));
}

static void count_change(void *opaque)
{
	++*(unsigned *)opaque;
}

Test(net_control, the_driver_may_change_the_address)
{
	unsigned changes = 0;

	card_start(ALL, 1);
	fake_net_card(&fake)->mac_changed = count_change;
	fake_net_card(&fake)->opaque = &changes;
	cr_assert(eq(u8, card_rx_mode(VIRTIO_NET_CTRL_RX_PROMISC, 0), VIRTIO_NET_OK));
	cr_assert(eq(uint, changes, 0));
	cr_assert(eq(u8,
		     card_command(CTRL, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET,
				  card_stranger, 6),
		     VIRTIO_NET_OK));
	cr_assert(eq(uint, changes, 1));
	cr_assert(passes(card_stranger));
	cr_assert(not(passes(fake_net_mac)));
	cr_assert(eq(int, memcmp(fake_net_card(&fake)->mac, card_stranger, 6), 0));
	fake_bring_up(&fake, ALL, 3, SIZE);
	cr_assert(eq(int, memcmp(fake_net_card(&fake)->mac, fake_net_mac, 6), 0));
	cr_assert(eq(uint, changes, 2));
}

Test(net_control, offloads_follow_the_driver)
{
	uint8_t on[8];

	card_start(ALL, 1);
	cr_assert(eq(uint, net.accepted, NET_OFFLOADS));
	le_put64(on, F(GUEST_CSUM) | F(GUEST_TSO4));
	cr_assert(eq(u8, card_command(CTRL, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, on, 8),
		     VIRTIO_NET_OK));
	cr_assert(eq(uint, net.accepted, NET_CHECKSUM | NET_TSO4));
	le_put64(on, F(GUEST_TSO4)); /* nothing without checksums */
	cr_assert(eq(u8, card_command(CTRL, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, on, 8),
		     VIRTIO_NET_OK));
	cr_assert(eq(uint, net.accepted, 0));
	le_put64(on, F(GUEST_CSUM) | F(GUEST_UFO));
	cr_assert(eq(u8, card_command(CTRL, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, on, 8),
		     VIRTIO_NET_ERR));
	fake_bring_up(&fake, ALL & ~(F(GUEST_TSO6) | F(GUEST_ECN)), 3, SIZE);
	cr_assert(eq(uint, net.accepted, NET_CHECKSUM | NET_TSO4));
	fake_write(&fake, R_STATUS, 0);
	cr_assert(eq(uint, net.accepted, 0));
}

Test(net_control, the_link)
{
	struct virtio_net_hdr_v1 h = {0};
	struct net_card *card;

	card_start(ALL, 1);
	card = fake_net_card(&fake);
	card->ops->link(card, true);
	cr_assert(eq(uint, fake_interrupts(&fake), 0));
	card->ops->link(card, false);
	cr_assert(eq(uint, fake_interrupts(&fake), 1));
	cr_assert(eq(u32, fake_read(&fake, R_INTERRUPT_STATUS) & VIRTIO_CAUSE_CONFIG,
		     VIRTIO_CAUSE_CONFIG));
	cr_assert(eq(uint, card_link_status(&fake), 0));
	card_post(&fake, RX, 1, 0x800);
	cr_assert(eq(int, card_give(100, 1), 0));
	cr_assert(card_send(TX, &h, 100));
	cr_assert(eq(uint, net.sends, 0));
	cr_assert(eq(u64, card->received.frames, 0));
	/* Between quiesce and start the driver is told later. */
	fake.v->dev.ops->quiesce(&fake.v->dev);
	(void)fake_interrupts(&fake);
	card->ops->link(card, true);
	cr_assert(eq(uint, fake_interrupts(&fake), 0));
	fake.v->dev.ops->start(&fake.v->dev);
	cr_assert(ge(uint, fake_interrupts(&fake), 1));
	cr_assert(eq(uint, card_link_status(&fake), VIRTIO_NET_S_LINK_UP));
}

Test(net_control, a_card_without_back_end_has_no_link)
{
	struct virtio_net_hdr_v1 h = {0};

	fake_net_plug(&fake, 1);
	fake_bring_up(&fake, ALL, 3, SIZE);
	cr_assert(eq(uint, card_link_status(&fake), 0));
	cr_assert(card_send(TX, &h, 100));
	cr_assert(eq(u64, fake_net_card(&fake)->sent.dropped, 1));
	(void)fake_interrupts(&fake);
	fake_net_connect(&net, &fake);
	cr_assert(eq(uint, card_link_status(&fake), VIRTIO_NET_S_LINK_UP));
	cr_assert(eq(uint, fake_interrupts(&fake), 1));
	cr_assert(eq(uint, net.starts, 1));
	cr_assert(eq(uint, net.accepted, NET_OFFLOADS));
	cr_assert(card_send(TX, &h, 100));
	cr_assert(eq(uint, net.sent, 1));
}

Test(net_control, the_back_end_is_closed_with_the_card)
{
	card_start(ALL, 1);
	fake_free(&fake);
	fake.v = NULL;
	cr_assert(net.closed);
}

/* --- several queues --- */

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
		card_post(&fake, 2 * i, 1, 0x800);
	cr_assert(eq(int, card->ops->receive(card, &iov, 1, sizeof(message)), 0));
	for (unsigned i = 0; i < 4; i++) {
		if (fake_used(&fake, 2 * i, &id, &len))
			return i;
	}
	return 99;
}

Test(net_control, flows_come_back_where_they_were_sent)
{
	card_start(MANY, 4);
	send_udp(2, 1);
	cr_assert(eq(uint, arrives_on(1), 0), "one pair is in use at first");
	cr_assert(eq(u8, card_set_pairs(4), VIRTIO_NET_OK));
	send_udp(2, 1);
	send_udp(3, 2);
	cr_assert(eq(uint, net.sent, 3));
	cr_assert(eq(uint, arrives_on(1), 2));
	cr_assert(eq(uint, arrives_on(2), 3));
	cr_assert(eq(uint, arrives_on(9), 0));
	cr_assert(eq(u8, card_set_pairs(2), VIRTIO_NET_OK));
	cr_assert(eq(uint, arrives_on(2), 0));
	cr_assert(eq(u8, card_set_pairs(0), VIRTIO_NET_ERR));
	cr_assert(eq(u8, card_set_pairs(5), VIRTIO_NET_ERR));
}

Test(net_control, the_control_queue_of_a_driver_with_one_pair_is_the_third)
{
	fake_net_plug(&fake, 4);
	fake_net_connect(&net, &fake);
	fake_bring_up(&fake, ALL, 3, SIZE);
	cr_assert(eq(u8, card_rx_mode(VIRTIO_NET_CTRL_RX_PROMISC, 0), VIRTIO_NET_OK));
}
