/* What the files of virtio-net share; see net.h. Machine lock held throughout. */
#ifndef TORPOR_DEVICES_VIRTIO_NET_INTERNAL_H
#define TORPOR_DEVICES_VIRTIO_NET_INTERNAL_H

#include <linux/virtio_net.h>

#include "base/timer.h"
#include "devices/net/net_flows.h"
#include "devices/rate_gate.h"
#include "devices/virtio/net.h"

#define VIRTIO_NET_MAX_MACS	64u
#define VIRTIO_NET_BACKLOG_PART 47104u
#define VIRTIO_NET_BACKLOG	(2 * VIRTIO_NET_BACKLOG_PART)

/* Which frames the driver wants besides its own (§5.1.6.5.1): bit n is command n of the class. */
enum {
	NET_RX_PROMISC = 1 << VIRTIO_NET_CTRL_RX_PROMISC,
	NET_RX_ALLMULTI = 1 << VIRTIO_NET_CTRL_RX_ALLMULTI,
	NET_RX_ALLUNI = 1 << VIRTIO_NET_CTRL_RX_ALLUNI,
	NET_RX_NOMULTI = 1 << VIRTIO_NET_CTRL_RX_NOMULTI,
	NET_RX_NOUNI = 1 << VIRTIO_NET_CTRL_RX_NOUNI,
	NET_RX_NOBCAST = 1 << VIRTIO_NET_CTRL_RX_NOBCAST,
	/* There were more addresses than the table has places. */
	NET_RX_MANY_UNI = 1 << 8,
	NET_RX_MANY_MULTI = 1 << 9,
	NET_RX_KNOWN =
		(1 << (VIRTIO_NET_CTRL_RX_NOBCAST + 1)) - 1 + NET_RX_MANY_UNI + NET_RX_MANY_MULTI,
};

struct virtio_net_mac {
	uint8_t octet[NET_MAC_SIZE];
};

struct virtio_net_state {
	uint8_t mac[NET_MAC_SIZE]; /* that the driver has chosen, or was given */
	uint8_t link;		   /* 1: it is told that the link is up */
	uint8_t announce;	   /* 1: it is asked to announce itself, once the link is up */
	uint16_t mtu;
	uint16_t pairs;	       /* in use */
	uint32_t rx_mode;      /* NET_RX_* */
	uint64_t offloads_off; /* what it has switched off of the features for receiving */
	uint32_t unicast;      /* of the addresses, the first so many; */
	uint32_t nmacs;	       /* the others are multicast */
	struct virtio_net_mac macs[VIRTIO_NET_MAX_MACS];
	struct net_flows flows;
	/* Frames that found no buffers when the machine was stopped: le32 length, then header and
	 * frame; one after the other, across both parts. (A field of a state has at most 64 KiB.)
	 */
	uint32_t backlog_first;
	uint32_t backlog_second;
	uint8_t first[VIRTIO_NET_BACKLOG_PART];
	uint8_t second[VIRTIO_NET_BACKLOG_PART];
};

/* Which pair a flow's frames go to: where the driver last sent some of it (§5.1.6.5.6). */
struct net_steering {
	uint8_t pair[256]; /* by the hash of addresses and ports */
};

struct virtio_net {
	struct virtio_device v;
	struct virtio_net_state s;
	struct net_card card;
	struct virtio_net_config config;
	uint8_t mac[NET_MAC_SIZE]; /* it was made with */
	uint16_t max_pairs;
	unsigned offloads_told; /* the offloads that the back end was told */
	uint32_t irq_pending;	/* queues with frames for which no interrupt was raised yet */
	bool tx_blocked;	/* the back end has no room; writable() follows */
	uint64_t rx_turn;	/* bytes that were delivered in this turn */
	bool rx_refused;	/* it has a frame for which there were no buffers */
	bool quiescing;
	bool resetting;	     /* flows of before the save are still to be reset */
	bool config_pending; /* it changed while the machine did not run */
	bool keep_link;	     /* the state that is loaded next gets the link that there is now: */
	uint8_t kept_link;
	struct loop_hook round;
	struct rate_gate tx_rate, rx_rate; /* what may pass in each direction */
	struct net_steering steering;
};

static inline struct virtio_net *net_from_virtio(struct virtio_device *v)
{
	return (struct virtio_net *)v;
}

static inline bool net_has(const struct virtio_net *n, unsigned feature)
{
	return virtio_has(&n->v, VIRTIO_FEATURE(feature));
}

/* §5.1.2 */
static inline unsigned net_rx_queue(unsigned pair)
{
	return 2 * pair;
}

static inline unsigned net_tx_queue(unsigned pair)
{
	return 2 * pair + 1;
}

/* What of the features a driver may switch off again (§5.1.6.5.7). */
#define NET_GUEST_OFFLOADS                                                                         \
	(VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_CSUM) | VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO4) |       \
	 VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO6) | VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_ECN))

/* net.c: show the state in the configuration space. */
void net_update_config(struct virtio_net *n);
/* Tell the back end what the guest accepts, if that has changed. */
void net_update_offloads(struct virtio_net *n);
/* No frame of before the save waits for buffers any more. */
bool net_resume_done(const struct virtio_net *n);
/* Send what the driver has queued on every queue. */
void net_kick_tx(struct virtio_net *n);
/* Take from the back end what it was refused. */
void net_serve_rx(struct virtio_net *n);

/* net_rate.c: net_card_ops.limit. */
int net_limit(struct net_card *c, const struct net_limits *limits, struct err *err);

/* net_ctrl.c */
void net_serve_ctrl(struct virtio_net *n, unsigned queue);

/* net_tx.c */
void net_serve_tx(struct virtio_net *n, unsigned queue);

/* net_rx.c: net_card_ops.receive; */
int net_receive(struct net_card *c, const struct iovec *iov, unsigned niov, size_t len);
/* whether a frame with this destination is for the driver; */
bool net_accepts(const struct virtio_net_state *s, const uint8_t *destination);
/* put a frame into the driver's buffers: 0 (or dropped, for it can never fit), or -EAGAIN; */
int net_deliver(struct virtio_net *n, const struct iovec *iov, unsigned niov, size_t len);
/* and the interrupts for what was delivered. */
void net_interrupt_driver(struct virtio_net *n);

/* net_backlog.c: -EAGAIN when it is full; */
int net_backlog_add(struct virtio_net_state *s, const struct iovec *iov, unsigned niov, size_t len);
static inline size_t net_backlog_bytes(const struct virtio_net_state *s)
{
	return s->backlog_first + s->backlog_second;
}
/* deliver what there are buffers for; true: all of it; */
bool net_backlog_deliver(struct virtio_net *n);
void net_backlog_clear(struct virtio_net_state *s);
/* could net_backlog_add() have left this behind? */
bool net_backlog_valid(const struct virtio_net_state *s);

/* net_steer.c: a frame was sent on this pair, behind its header; */
void net_steer_sent(struct net_steering *steering, const struct iovec *iov, unsigned niov,
		    unsigned pair);
/* the pair for a received one, below `pairs`. `iov` begins with the header. */
unsigned net_steer_received(const struct net_steering *steering, const struct iovec *iov,
			    unsigned niov, unsigned pairs);

/* net_iov.c: up to `len` bytes at `offset` of all buffers; returns how many there were. */
size_t net_gather(const struct iovec *iov, unsigned niov, size_t offset, void *to, size_t len);

#endif
