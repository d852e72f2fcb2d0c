/*
 * The driver's side of a network card for tests, with fake_net.h at its other side. One card at a
 * time, `fake`; a test that wakes it has `other` too.
 */
#ifndef TORPOR_TESTS_UNIT_NET_DRIVER_H
#define TORPOR_TESTS_UNIT_NET_DRIVER_H

#include <linux/virtio_net.h>

#include "tests/unit/fake_net.h"

enum { RX = 0, TX = 1, CTRL = 2 };

#define F(name) VIRTIO_FEATURE(VIRTIO_NET_F_##name)
#define RECEIVING                                                                                  \
	(F(MRG_RXBUF) | F(GUEST_CSUM) | F(GUEST_TSO4) | F(GUEST_TSO6) | F(GUEST_ECN) |             \
	 F(CTRL_GUEST_OFFLOADS))
#define SENDING (F(CSUM) | F(HOST_TSO4) | F(HOST_TSO6) | F(HOST_ECN))
#define CONTROL (F(CTRL_VQ) | F(CTRL_RX) | F(CTRL_RX_EXTRA) | F(CTRL_MAC_ADDR) | F(GUEST_ANNOUNCE))
#define ALL	(RECEIVING | SENDING | CONTROL | F(STATUS) | F(MTU) | F(MAC))
/* Where things lie in the guest's memory */
#define BUFFER	  (FAKE_BUFFERS + 0x40000) /* of the i-th received frame: + i * 0x1000 */
#define HEADER	  FAKE_BUFFERS
#define FRAME	  (FAKE_BUFFERS + 0x100)
#define COMMAND	  (FAKE_BUFFERS + 0x30000)
#define ACK	  (FAKE_BUFFERS + 0x31000)
#define SIZE	  64u
#define MANY	  (ALL | F(MQ))
#define MANY_CTRL 8u /* the control queue of four pairs */

extern struct fake fake, other;
extern struct fake_net net, net2;
/* Addresses that are not the card's. */
extern const uint8_t card_stranger[NET_MAC_SIZE], card_group[NET_MAC_SIZE];

/* Plug, connect and bring up a card; card_end() goes with the test suite. */
void card_start(uint64_t features, uint16_t pairs);
void card_end(void);

unsigned card_config16(struct fake *f, size_t off);
unsigned card_link_status(struct fake *f);
bool card_broken(struct fake *f);

/* Give it n empty buffers of `len` bytes. */
void card_post(struct fake *f, unsigned queue, unsigned n, uint32_t len);
/* The next used buffer of a receive queue, NULL: none; its length in *len. */
const uint8_t *card_received(struct fake *f, unsigned queue, uint32_t *len);
/* Send one frame of `len` bytes behind a header; true: the driver got it back. */
bool card_send(unsigned queue, const struct virtio_net_hdr_v1 *header, uint32_t len);
/* fake_net_give() to the card's own address. */
int card_give(size_t len, uint8_t first);

/* A command with its data; what the device answered, or 0xff. */
uint8_t card_command_to(struct fake *f, unsigned queue, uint8_t class, uint8_t cmd,
			const void *data, uint32_t len);
uint8_t card_command(unsigned queue, uint8_t class, uint8_t cmd, const void *data, uint32_t len);
uint8_t card_rx_mode(uint8_t cmd, uint8_t on);
/* Write two lists of `uni` and `multi` addresses that end with card_stranger and card_group;
 * returns their length. */
uint32_t card_mac_table(uint8_t *to, uint32_t uni, uint32_t multi);
uint8_t card_set_table(const void *table, uint32_t len);
/* To a card with four pairs. */
uint8_t card_set_pairs(uint16_t pairs);

#endif
