/*
 * The interface between a network card and what carries its frames.
 *
 *     card (devices/virtio/net.c)  ── send ──►  back end (net_user, net_tap, net_lan, or none)
 *                                  ◄─ receive ─
 *
 * Every frame that passes here has a `struct virtio_net_hdr_v1` (virtio 1.2 §5.1.6, 12 bytes,
 * little-endian) in front of its Ethernet header, in both directions, and may be a large one that
 * is still to be cut (gso_type) or whose checksum is still to be filled in (NEEDS_CSUM).
 * From the card anything of NET_OFFLOADS may come, whatever the back end: what the guest sees does
 * not depend on the host. A back end whose other side cannot take such frames finishes them with
 * net_offload.h. Towards the card a back end gives only what the guest said it accepts
 * (offloads()). num_buffers is the card's to fill in.
 *
 * What the guest sent is hostile: header and lengths are checked by net_header_fault() before a
 * back end sees them, the contents of the frame are not.
 *
 * Order: X_open() → net_connect() → start() … quiesce() / start() … → close(). Loop thread or any
 * other, always with the machine lock held. Neither side calls the other before net_connect(), nor
 * the back end the card between quiesce() and start().
 *
 * Only send() and receive() return an error, and only -EAGAIN. Functions that return nothing cannot
 * fail. The X_open() list their errors.
 */
#ifndef TORPOR_DEVICES_NET_NET_H
#define TORPOR_DEVICES_NET_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"

#define NET_MAC_SIZE	 6u
#define NET_HEADER_SIZE	 12u		     /* struct virtio_net_hdr_v1 */
#define NET_FRAME_MAX	 (14u + 4u + 65535u) /* Ethernet and VLAN header, IP packet */
#define NET_MESSAGE_MAX	 (NET_HEADER_SIZE + NET_FRAME_MAX)
#define NET_MAX_SEGMENTS 64u /* buffers a frame may be in when it is sent */
#define NET_MTU		 1500u

/* What a receiver of frames can do for the sender. */
enum net_offload {
	NET_CHECKSUM = 1, /* NEEDS_CSUM and DATA_VALID are understood */
	NET_TSO4 = 2,
	NET_TSO6 = 4,
	NET_ECN = 8, /* TSO with the ECN bit */
};
#define NET_OFFLOADS (NET_CHECKSUM | NET_TSO4 | NET_TSO6 | NET_ECN)

struct net_card;
struct net_backend;
struct net_flows;
struct net_limits;

struct net_backend_ops {
	const char *name;
	/* Guest → host: header and frame, `len` bytes in all. 0: done with (carried, or dropped as
	 * Ethernet may). -EAGAIN: there is no room now, nothing was taken; card->ops->writable()
	 * follows. */
	int (*send)(struct net_backend *b, const struct iovec *iov, unsigned n, size_t len);
	/* The card refused a frame and has room again. */
	void (*ready)(struct net_backend *b);
	/* What the guest accepts from now on (enum net_offload). NULL: it never gives any. */
	void (*offloads)(struct net_backend *b, unsigned accepted);
	/* The machine runs, or runs again. NULL: nothing to do. */
	void (*start)(struct net_backend *b);
	/* Last chance to hand over what has arrived already; the card takes what it has room for
	 * into the state that is saved. NULL: nothing arrives unasked. */
	void (*quiesce)(struct net_backend *b);
	/* The guest is taken back to an earlier state (between quiesce() and start()): drop what is
	 * on its way in both directions, and end connections that the guest will not know of. The
	 * network itself stays as it is, published ports included. Returns 0 or the errno of the
	 * call that failed. NULL: nothing is kept. */
	int (*forget)(struct net_backend *b, struct err *err);
	/* Free it. */
	void (*close)(struct net_backend *b);
};

struct net_backend {
	const struct net_backend_ops *ops;
	struct net_card *card; /* set by net_connect() */
};

struct net_card_ops {
	/* Host → guest: header and frame, `len` bytes in all. 0: taken (or dropped: the link is
	 * down, the frame not for this card). -EAGAIN: no buffers; ready() follows. The guest is
	 * interrupted once for all that it was given in a round of the loop. */
	int (*receive)(struct net_card *c, const struct iovec *iov, unsigned n, size_t len);
	/* The back end has dropped a frame to the guest that it had no room to keep: for the
	 * counters. */
	void (*dropped)(struct net_card *c);
	/* The back end refused a frame and has room again. */
	void (*writable)(struct net_card *c);
	/* The link: a guest whose link goes down may drop its DHCP lease. Down until there is a
	 * back end. */
	void (*link)(struct net_card *c, bool up);
	/* net_connect() has given it a back end. */
	void (*connected)(struct net_card *c);
	/* Limit it from now on; once, before the machine runs. What has to wait stays where it is: in the queue of the
	 * guest, or with the back end. Returns 0, or what timer_open() gave. */
	int (*limit)(struct net_card *c, const struct net_limits *limits, struct err *err);
};

/* What may pass a card in a second, in each direction; 0: as much as can. At most RATE_MAX (devices/rate.h). */
struct net_limits {
	uint64_t frames; /* large ones count as one */
	uint64_t bytes;
};

/* For `torpor stats`; frames may be large ones. */
struct net_counters {
	uint64_t frames;
	uint64_t bytes;
	uint64_t dropped;
};

/* A card without a back end has its link down. After a resume the link stays as it was saved, until
 * net_connect() or link() sets it. */
struct net_card {
	const struct net_card_ops *ops;
	struct net_backend *backend; /* owned once connected */
	uint8_t mac[NET_MAC_SIZE];   /* that it has now: the driver may change it */
	bool up;		     /* the link, as the guest sees it */
	/* The card's, saved with it: a back end whose TCP connections end in this process notes
	 * them here (net_flows.h). After a resume the card resets them. */
	struct net_flows *flows;
	/* The driver has chosen another address. Set by the part that needs to know; it must not
	 * call the card. NULL: not needed. */
	void (*mac_changed)(void *opaque);
	void *opaque;
	struct net_counters sent;     /* by the guest, */
	struct net_counters received; /* and to it */
};

/* The card takes the back end over. Its link goes up; if the machine runs, the back end is
 * started. Only once for a card (assert). */
void net_connect(struct net_card *card, struct net_backend *backend);

#endif
