/*
 * A guest behind --net user, made by hand: a card that keeps what it is given, a TCP that is just
 * enough, and the loop, turned a little at a time so that everything happens on one thread.
 */
#ifndef TORPOR_TESTS_UNIT_USER_GUEST_H
#define TORPOR_TESTS_UNIT_USER_GUEST_H

#include "devices/net/net_flows.h"
#include "devices/net/net_user.h"
#include "tests/unit/frames.h"

#define GUEST_KEEPS 256u

/* A message that the card was given. */
struct got {
	struct virtio_net_hdr_v1 header;
	size_t len;
	uint8_t *frame;
};

struct guest {
	struct loop loop;
	struct log log;
	pthread_mutex_t lock;
	struct net_card card;
	struct net_flows flows;
	struct net_backend *b;
	struct got got[GUEST_KEEPS];
	unsigned ngot;
	unsigned room;	  /* messages that the card takes before it is full */
	unsigned refused; /* messages that it did not take */
	uint8_t router[6];
	bool v6;
};

/* One connection of the guest's. */
struct guest_tcp {
	struct guest *g;
	struct frame to; /* addresses and ports */
	uint32_t seq, ack;
	uint8_t *received;
	size_t len;
	unsigned large; /* messages of more than one segment */
	bool fin, reset;
};

/* ERR is for opens that are to fail; NULL: it must not. Accepts offloads, is started. */
int guest_open(struct guest *g, const struct net_user_params *params, struct err *err);
void guest_close(struct guest *g);
void guest_start(struct guest *g);

/* Send a frame with a plain header, or with this one. */
void guest_send(struct guest *g, const uint8_t *frame, size_t len);
void guest_send_as(struct guest *g, const struct virtio_net_hdr_v1 *header, const uint8_t *frame,
		   size_t len);
/* Turn the loop for some milliseconds. */
void guest_turn(struct guest *g, unsigned ms);
/* Turn it until the card has `n` messages; false: it has not after two seconds. */
bool guest_await(struct guest *g, unsigned n);
void guest_forget(struct guest *g);
/* Have it known by ARP or NDP, and know its router's MAC. */
void guest_greet(struct guest *g);
/* A frame of the guest to the network's host, 10.0.2.2 or fd00::2. */
struct frame guest_frame(const struct guest *g, uint8_t protocol, uint16_t from, uint16_t to);

/* Open a connection to the host's port, or answer a SYN that came in. */
void guest_connect(struct guest_tcp *t, struct guest *g, uint16_t from, uint16_t to, uint16_t mss);
void guest_accept(struct guest_tcp *t, struct guest *g, uint16_t port, uint16_t mss);
void guest_tcp_send(struct guest_tcp *t, uint8_t flags, const uint8_t *data, size_t len);
/* Take what has come for this connection, in order, and acknowledge it. */
void guest_tcp_take(struct guest_tcp *t);

#endif
