/*
 * The connections between a guest's virtio-vsock and Unix sockets of this host (virtio 1.2 §5.10.6): packets in,
 * packets out. The device (devices/virtio/vsock.h) moves them between here and the guest; nothing here touches
 * guest memory.
 *
 * A client that connects to the listening socket writes "CONNECT PORT\n" and gets "OK HOSTPORT\n" when the guest
 * has accepted, else its connection is closed. A guest that connects to port P of CID 2 reaches the socket that
 * the dialer connects to for P (vsock/process.h), or gets RST.
 *
 *     vsock_hub_open → { vsock_hub_receive | vsock_hub_next | vsock_hub_reset | vsock_hub_hold } … →
 *     vsock_hub_close
 *
 * What a guest or a client sends decides on no more memory than this: VSOCK_CONNECTIONS connections, each with
 * VSOCK_BUFFER bytes that its Unix socket has not taken yet, and VSOCK_REPLIES answers to packets of no
 * connection. Nothing waits: the Unix sockets are non-blocking.
 *
 * With the lock of the loop held, everywhere. Functions that return nothing cannot fail: a connection that cannot
 * go on is reset.
 */
#ifndef TORPOR_VSOCK_HUB_H
#define TORPOR_VSOCK_HUB_H

#include <linux/virtio_vsock.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "vsock/process.h"

#define VSOCK_HOST_CID	  2u
#define VSOCK_GUEST_CID	  3u
#define VSOCK_CONNECTIONS 256u
#define VSOCK_BUFFER	  (128u << 10) /* what a guest may send ahead: the credit it gets (§5.10.6.3) */
#define VSOCK_PACKET	  (64u << 10) /* bytes of data in a packet to the guest, at most */
#define VSOCK_REPLIES	  128u
#define VSOCK_LINE_MAX	  32u /* bytes of "CONNECT PORT\n" */
/* For so long a client may write that line, the guest answer its connection, and then a guest acknowledge the end
 * of one. */
#define VSOCK_PATIENCE_S 10u

struct vsock_hub;

struct vsock_hub_params {
	struct loop *loop;
	uint32_t guest_cid;
	/* Taken over, also on failure; closed ones: nobody is behind the device, and all that a guest asks for
	 * is reset. */
	struct vsock_ends *ends;
	/* vsock_hub_pending() has become true, or there is room again (vsock_hub_has_room()). Called from the
	 * loop. */
	void (*ready)(void *opaque);
	void *opaque;
	/* clock_monotonic_ns(), or a test's; it is looked at once a second while somebody is waited for. */
	uint64_t (*clock)(void);
};

/* Returns 0, -ENOMEM, or the errno of timerfd_create(2) or epoll_ctl(2). */
int vsock_hub_open(struct vsock_hub **out, const struct vsock_hub_params *params, struct err *err);
/* NULL is left alone. */
void vsock_hub_close(struct vsock_hub *hub);

/* All connections are over, and the guest is told of none of them: it was reset, or is another. */
void vsock_hub_reset(struct vsock_hub *hub);
/* While `on`, new connections wait, those of clients to be asked for and those of the guest for their answer: it would
 * take them for those that are gone. (Linux resets what is connected, and not what has no answer yet.) */
void vsock_hub_hold(struct vsock_hub *hub, bool on);

/* Whether another packet of the guest may be received. If not, vsock_hub_next() makes room. */
bool vsock_hub_has_room(const struct vsock_hub *hub);
/* A packet of the guest; `data` are hdr.len bytes, at most VSOCK_BUFFER, of an OP_RW; without them (NULL) it was
 * longer than that. */
void vsock_hub_receive(struct vsock_hub *hub, const struct virtio_vsock_hdr *hdr,
		       const uint8_t *data);

/* Whether there may be a packet for the guest. */
bool vsock_hub_pending(const struct vsock_hub *hub);
/* The next packet for the guest, with at most `room` bytes of data (1 to VSOCK_PACKET). False: there is none, and
 * none is pending. */
bool vsock_hub_next(struct vsock_hub *hub, struct virtio_vsock_hdr *hdr, uint8_t *data,
		    size_t room);

#endif
