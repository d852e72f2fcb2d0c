/* The driver's side of a network card, for tests; see net_driver.h. */
#include "tests/unit/net_driver.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "base/num.h"

struct fake fake, other;
struct fake_net net, net2;
const uint8_t card_stranger[] = {0x02, 7, 7, 7, 7, 7};
const uint8_t card_group[] = {0x33, 0x33, 0, 0, 0, 1};

void card_start(uint64_t features, uint16_t pairs)
{
	fake_net_plug(&fake, pairs);
	fake_net_connect(&net, &fake);
	fake_bring_up(&fake, features, pairs > 1 ? 2u * pairs + 1 : 3, SIZE);
	(void)fake_interrupts(&fake);
}

void card_end(void)
{
	if (fake.v != NULL)
		fake_free(&fake);
	if (other.v != NULL)
		fake_free(&other);
}

unsigned card_config16(struct fake *f, size_t off)
{
	return fake_read(f, R_CONFIG + (off & ~(size_t)3)) >> (8 * (off & 3)) & 0xffff;
}

unsigned card_link_status(struct fake *f)
{
	return card_config16(f, offsetof(struct virtio_net_config, status));
}

bool card_broken(struct fake *f)
{
	return (fake_read(f, R_STATUS) & VIRTIO_NEEDS_RESET) != 0;
}

void card_post(struct fake *f, unsigned queue, unsigned n, uint32_t len)
{
	for (unsigned i = 0; i < n; i++) {
		unsigned at = f->q[queue].next_desc % SIZE;

		fake_post(f, queue, &(struct fake_seg){BUFFER + at * 0x1000u, len, true}, 1);
	}
}

const uint8_t *card_received(struct fake *f, unsigned queue, uint32_t *len)
{
	uint32_t id;

	if (!fake_used(f, queue, &id, len))
		return NULL;
	return fake_ram(f, BUFFER + id * 0x1000u, 0x1000);
}

bool card_send(unsigned queue, const struct virtio_net_hdr_v1 *header, uint32_t len)
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

uint8_t card_command_to(struct fake *f, unsigned queue, uint8_t class, uint8_t cmd,
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

uint8_t card_command(unsigned queue, uint8_t class, uint8_t cmd, const void *data, uint32_t len)
{
	return card_command_to(&fake, queue, class, cmd, data, len);
}

int card_give(size_t len, uint8_t first)
{
	return fake_net_give(&net, fake_net_mac, len, first);
}

uint8_t card_rx_mode(uint8_t cmd, uint8_t on)
{
	return card_command(CTRL, VIRTIO_NET_CTRL_RX, cmd, &on, 1);
}

uint32_t card_mac_table(uint8_t *to, uint32_t uni, uint32_t multi)
{
	const uint32_t counts[] = {uni, multi};
	const uint8_t *const last[] = {card_stranger, card_group};
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

uint8_t card_set_table(const void *table, uint32_t len)
{
	return card_command(CTRL, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, table, len);
}

uint8_t card_set_pairs(uint16_t pairs)
{
	uint8_t data[2];

	le_put16(data, pairs);
	return card_command(MANY_CTRL, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, data,
			    2);
}
