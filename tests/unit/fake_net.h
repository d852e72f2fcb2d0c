/*
 * A back end for tests (devices/net/net.h): keeps the last frame it was sent, refuses on demand,
 * and has frames of its own that it hands over when it is told to, or when the machine stops.
 */
#ifndef TORPOR_TESTS_UNIT_FAKE_NET_H
#define TORPOR_TESTS_UNIT_FAKE_NET_H

#include "devices/virtio/net.h"
#include "tests/unit/fake_driver.h"

struct fake_net {
	struct net_backend backend;
	bool full; /* refuse what is sent */
	unsigned sends, sent;
	size_t len; /* of the last one, with its header */
	uint8_t message[NET_MESSAGE_MAX];
	unsigned accepted; /* as offloads() said last */
	unsigned readies, starts, quiesces;
	bool closed;
	/* Frames of `size` bytes, header included, handed over by quiesce() until one is
	 * refused. */
	unsigned arrived;
	size_t size;
};

/* The card's MAC, and that of the other side. */
extern const uint8_t fake_net_mac[NET_MAC_SIZE];
extern const uint8_t fake_net_peer[NET_MAC_SIZE];

/* Plug a card with so many pairs of queues; it has no back end yet. */
void fake_net_plug(struct fake *f, uint16_t pairs);
struct net_card *fake_net_card(struct fake *f);
void fake_net_connect(struct fake_net *net, struct fake *f);
/* A frame to the card, of `len` bytes with its header: destination, source, then counting bytes
 * that begin with `first`. Returns what the card said. */
int fake_net_give(struct fake_net *net, const uint8_t *destination, size_t len, uint8_t first);
/* Write such a message into `to`. */
void fake_net_message(uint8_t *to, const uint8_t *destination, size_t len, uint8_t first);

#endif
