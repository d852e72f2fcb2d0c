/* A network card that is saved and wakes: what the driver said, frames in hand, connections, and
 * state from a stranger. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "devices/net/net_flows.h"
#include "tests/unit/net_driver.h"

TestSuite(net_state, .fini = card_end);

static void wake(uint16_t pairs, bool connect)
{
	struct err err = {0};

	fake_net_plug(&other, pairs);
	cr_assert(eq(int, fake_move(&fake, &other, &err), 0), "%s", err.text);
	if (connect)
		fake_net_connect(&net2, &other);
}

Test(net_state, what_the_driver_said_survives)
{
	uint8_t table[64];
	const struct net_card *card;

	card_start(ALL, 1);
	card_rx_mode(VIRTIO_NET_CTRL_RX_PROMISC, 0);
	card_set_table(table, card_mac_table(table, 1, 1));
	wake(1, true);
	card = fake_net_card(&other);
	card_post(&other, RX, 3, 0x800);
	fake_net_give(&net2, card_stranger, 100, 1);
	fake_net_give(&net2, card_group, 100, 1);
	cr_assert(eq(u64, card->received.frames, 2));
	fake_net_give(&net2, (const uint8_t[]){0x02, 8, 8, 8, 8, 8}, 100, 1);
	cr_assert(eq(u64, card->received.frames, 2));
	cr_assert(eq(uint, net2.accepted, NET_OFFLOADS));
}

Test(net_state, frames_in_hand_survive)
{
	const uint8_t *frame;
	uint32_t len;

	card_start(ALL, 1);
	card_post(&fake, RX, 2, 0x800);
	net.arrived = 6;
	net.size = 700;
	wake(1, false);
	cr_assert(eq(uint, net.quiesces, 1));
	cr_assert(eq(uint, net.arrived, 0));
	for (uint8_t i = 6; i > 4; i--) {
		frame = card_received(&other, RX, &len);
		cr_assert(frame != NULL);
		cr_assert(eq(u8, frame[24], (uint8_t)(i + 12)));
	}
	/* Nothing moves before it is known what is behind the card. */
	card_post(&other, RX, 3, 0x800);
	fake_kick(&other, RX);
	cr_assert(card_received(&other, RX, &len) == NULL);
	fake_net_connect(&net2, &other);
	for (uint8_t i = 4; i > 1; i--) {
		frame = card_received(&other, RX, &len);
		cr_assert(frame != NULL);
		cr_assert(eq(u32, len, 700));
		cr_assert(eq(u8, frame[24], (uint8_t)(i + 12)));
	}
	/* The rest comes before anything new. */
	cr_assert(eq(int, fake_net_give(&net2, fake_net_mac, 100, 77), -EAGAIN));
	card_post(&other, RX, 2, 0x800);
	fake_kick(&other, RX);
	cr_assert(eq(uint, net2.readies, 1));
	frame = card_received(&other, RX, &len);
	cr_assert(eq(u8, frame[24], 1 + 12));
	cr_assert(eq(int, fake_net_give(&net2, fake_net_mac, 100, 77), 0));
}

/* As snapshot/reset.c does, to the state that was kept last. */
static void keep(struct virtio_device *v, void *parts[DEVICE_MAX_PARTS])
{
	for (unsigned p = 0; p < v->dev.nparts; p++) {
		parts[p] = malloc(v->dev.part[p].table->size);
		memcpy(parts[p], v->dev.part[p].state, v->dev.part[p].table->size);
	}
}

static void take_back(struct virtio_device *v, void *parts[DEVICE_MAX_PARTS])
{
	const struct device_ops *ops = v->dev.ops;
	struct err err;

	ops->quiesce(&v->dev);
	cr_assert(eq(int, ops->forget(&v->dev, &err), 0), "%s", err.text);
	for (unsigned p = 0; p < v->dev.nparts; p++)
		memcpy(v->dev.part[p].state, parts[p], v->dev.part[p].table->size);
	cr_assert(eq(int, ops->loaded(&v->dev, &err), 0));
	/* And of memory the rings' indices, which were zero. */
	for (unsigned i = RX; i <= CTRL; i++) {
		memset(fake_ram(&fake, fake.q[i].avail, 4), 0, 4);
		memset(fake_ram(&fake, fake.q[i].used, 4), 0, 4);
		fake.q[i].avail_idx = fake.q[i].used_seen = 0;
	}
	ops->start(&v->dev);
}

/* Frames that came for the guest of before are gone, and so is what it wanted; the cable stays. */
Test(net_state, a_card_that_is_taken_back)
{
	void *parts[DEVICE_MAX_PARTS];
	uint32_t len;

	card_start(ALL, 1);
	keep(fake.v, parts);
	card_rx_mode(VIRTIO_NET_CTRL_RX_PROMISC, 0);
	card_post(&fake, RX, 2, 0x800);
	net.arrived = 6;
	net.size = 700;
	net.full = true;
	take_back(fake.v, parts);
	cr_assert(eq(uint, net.arrived, 0), "the back end has none of them any more");
	cr_assert(eq(uint, net.starts, 2));
	cr_assert(card_config16(&fake, offsetof(struct virtio_net_config, status)) ==
		  (VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE));
	card_post(&fake, RX, 8, 0x800);
	fake_kick(&fake, RX);
	cr_assert(card_received(&fake, RX, &len) == NULL, "nothing of the old ones comes");
	cr_assert(eq(int, fake_net_give(&net, card_stranger, 100, 1), 0), "promiscuous again");
	cr_assert(card_received(&fake, RX, &len) != NULL);
	for (unsigned p = 0; p < fake.v->dev.nparts; p++)
		free(parts[p]);
}

/* The file may know the cable otherwise than it is now: both ways. */
Test(net_state, a_card_that_is_taken_back_keeps_its_link)
{
	void *parts[DEVICE_MAX_PARTS];

	fake_net_plug(&fake, 1);
	fake_bring_up(&fake, ALL, 3, SIZE);
	keep(fake.v, parts);
	cr_assert(eq(uint, card_link_status(&fake) & VIRTIO_NET_S_LINK_UP, 0));
	fake_net_connect(&net, &fake);
	take_back(fake.v, parts);
	cr_assert(card_link_status(&fake) & VIRTIO_NET_S_LINK_UP);
	for (unsigned p = 0; p < fake.v->dev.nparts; p++)
		free(parts[p]);
	keep(fake.v, parts);
	fake_net_card(&fake)->ops->link(fake_net_card(&fake), false);
	(void)fake_interrupts(&fake);
	take_back(fake.v, parts);
	cr_assert(eq(uint, card_link_status(&fake) & VIRTIO_NET_S_LINK_UP, 0));
	cr_assert(ge(uint, fake_interrupts(&fake), 1), "the guest knew it as up");
	for (unsigned p = 0; p < fake.v->dev.nparts; p++)
		free(parts[p]);
}

Test(net_state, the_backlog_has_an_end)
{
	card_start(ALL, 1);
	net.arrived = 100;
	net.size = 20000;
	fake.v->dev.ops->quiesce(&fake.v->dev);
	cr_assert(eq(uint, net.arrived, 96));
	/* It goes on here: what was taken comes first. */
	card_post(&fake, RX, 60, 0x1000);
	fake.v->dev.ops->start(&fake.v->dev);
	cr_assert(eq(u64, fake_net_card(&fake)->received.frames, 4));
	cr_assert(eq(uint, net.readies, 1));
	cr_assert(eq(uint, net.starts, 2));
}

Test(net_state, the_largest_frame_in_hand_survives)
{
	card_start(ALL, 1);
	net.arrived = 1;
	net.size = NET_MESSAGE_MAX;
	wake(1, true);
	cr_assert(eq(uint, net.arrived, 0));
	card_post(&other, RX, 20, 0x1000);
	fake_kick(&other, RX);
	cr_assert(eq(u64, fake_net_card(&other)->received.bytes, NET_FRAME_MAX));
}

Test(net_state, what_was_to_be_sent_survives)
{
	struct virtio_net_hdr_v1 h = {0};
	uint32_t id, len;

	card_start(ALL, 1);
	net.full = true;
	card_send(TX, &h, 100);
	wake(1, false);
	cr_assert(not(fake_used(&other, TX, &id, &len)));
	fake_net_connect(&net2, &other);
	cr_assert(eq(uint, net2.sent, 1));
	cr_assert(fake_used(&other, TX, &id, &len));
}

Test(net_state, post_resume_announces)
{
	const unsigned up = VIRTIO_NET_S_LINK_UP;

	card_start(ALL, 1);
	wake(1, false);
	(void)fake_interrupts(&other);
	fake_net_connect(&net2, &other);
	cr_assert(eq(uint, fake_interrupts(&other), 1));
	cr_assert(eq(uint, card_link_status(&other), up | VIRTIO_NET_S_ANNOUNCE));
	cr_assert(eq(u8,
		     card_command_to(&other, CTRL, VIRTIO_NET_CTRL_ANNOUNCE,
				     VIRTIO_NET_CTRL_ANNOUNCE_ACK, "", 0),
		     VIRTIO_NET_OK));
	cr_assert(eq(uint, card_link_status(&other), up));
	/* A pause is no wake. */
	other.v->dev.ops->quiesce(&other.v->dev);
	other.v->dev.ops->start(&other.v->dev);
	cr_assert(eq(uint, card_link_status(&other), up));
}

Test(net_state, an_announcement_waits_for_the_link)
{
	struct net_card *card;

	card_start(ALL, 1);
	wake(1, false);
	card = fake_net_card(&other);
	card->ops->link(card, false);
	cr_assert(eq(uint, card_link_status(&other), 0));
	(void)fake_interrupts(&other);
	card->ops->link(card, true);
	cr_assert(eq(uint, fake_interrupts(&other), 1));
	cr_assert(eq(uint, card_link_status(&other), VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE));
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

/* The broken device wakes elsewhere; here its driver resets it. */
static void save_and_begin_again(void)
{
	wake(1, true);
	fake_free(&other);
	fake_bring_up(&fake, ALL, 3, SIZE);
	fake.v->dev.ops->start(&fake.v->dev);
	memset(&net2, 0, sizeof(net2));
}

/* Nothing of what the device did not get to the end of is in hand. */
Test(net_state, a_broken_device_can_be_saved)
{
	struct virtio_net_hdr_v1 bad = {.gso_type = 2};

	card_start(ALL, 1);
	card_send(TX, &bad, 100);
	cr_assert(card_broken(&fake));
	save_and_begin_again();
	card_post(&fake, RX, 1, 100);
	card_post(&fake, RX, 1, 0);
	card_give(1000, 1);
	cr_assert(card_broken(&fake));
	save_and_begin_again();
	fake_post(&fake, CTRL, &(struct fake_seg){COMMAND, 3, false}, 1);
	fake_kick(&fake, CTRL);
	cr_assert(card_broken(&fake));
	wake(1, true);
}

Test(net_state, connections_are_reset_before_anything_is_sent)
{
	struct virtio_net_hdr_v1 h = {0};
	const uint8_t *frame;
	uint32_t len, id;

	card_start(ALL, 1);
	for (uint8_t port = 0; port < 3; port++)
		note_connection(fake_net_card(&fake)->flows, port);
	cr_assert(eq(u32, fake_net_card(&fake)->flows->n, 3));
	net.full = true;
	card_send(TX, &h, 100);
	wake(1, true);
	cr_assert(eq(u32, fake_net_card(&other)->flows->n, 3));
	card_post(&other, RX, 2, 0x800);
	fake_kick(&other, RX);
	frame = card_received(&other, RX, &len);
	cr_assert(frame != NULL);
	cr_assert(eq(int, memcmp(frame + 12, fake_net_mac, 6), 0));
	cr_assert(ne(uint, frame[12 + 47] & 4, 0), "RST");
	cr_assert(eq(uint, net2.sent, 0));
	card_post(&other, RX, 8, 0x800);
	fake_kick(&other, RX);
	cr_assert(eq(u32, fake_net_card(&other)->flows->n, 0));
	cr_assert(eq(uint, net2.sent, 1));
	cr_assert(fake_used(&other, TX, &id, &len));
}

/* --- state from a stranger --- */

static void full_of_state(void)
{
	uint8_t table[64];

	card_start(MANY, 4);
	card_set_pairs(3);
	card_command(MANY_CTRL, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, table,
		     card_mac_table(table, 2, 1));
	note_connection(fake_net_card(&fake)->flows, 1);
	net.arrived = 40;
	net.size = 1500;
}

Test(net_state, damaged_state_is_refused_or_harmless)
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

Test(net_state, post_resume_without_network_takes_the_link_down)
{
	struct net_card *card;

	card_start(ALL, 1);
	wake(1, false);
	card = fake_net_card(&other);
	cr_assert(eq(uint, card_link_status(&other) & VIRTIO_NET_S_LINK_UP, VIRTIO_NET_S_LINK_UP));
	(void)fake_interrupts(&other);
	card->ops->link(card, false);
	cr_assert(eq(uint, fake_interrupts(&other), 1));
	cr_assert(eq(uint, card_link_status(&other), 0));
}
