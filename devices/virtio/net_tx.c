/*
 * virtio-net, guest → host (virtio 1.2 §5.1.6.2); see net_internal.h. Machine lock held.
 *
 * The back end gets the guest's own buffers behind a copy of the header: the copy that was checked.
 * A header that breaks the rules ends in NEEDS_RESET; a frame of an impossible length is
 * dropped, as a wire would. What the back end has no room for stays in the queue, and so in a save.
 */
#include <errno.h>
#include <stdio.h>

#include "base/num.h"
#include "devices/net/net_offload.h"
#include "devices/virtio/net_internal.h"

#define MIN_FRAME   14u
#define TURN_FRAMES 64u /* each may be a system call */

/* What the header asks for without its feature; NULL: nothing. */
static const char *unnegotiated_offload(const struct virtio_net *n,
					const struct virtio_net_hdr_v1 *h)
{
	uint8_t type = h->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;

	if ((h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0 && !net_has(n, VIRTIO_NET_F_CSUM))
		return "a checksum is asked for without the feature";
	if ((type == VIRTIO_NET_HDR_GSO_TCPV4 && !net_has(n, VIRTIO_NET_F_HOST_TSO4)) ||
	    (type == VIRTIO_NET_HDR_GSO_TCPV6 && !net_has(n, VIRTIO_NET_F_HOST_TSO6)) ||
	    (type != h->gso_type && !net_has(n, VIRTIO_NET_F_HOST_ECN)))
		return "it is to be cut without the feature";
	return NULL;
}

/* Read the header off the element. False: the driver is asked for a reset. */
static bool read_tx_header(struct virtio_net *n, struct vq_elem *e,
			   struct virtio_net_hdr_v1 *header)
{
	const char *fault = "it is cut short";
	char why[160];

	if (vq_read(e, header, sizeof(*header)) == sizeof(*header)) {
		/* §5.1.6.2.1: other bits are not ours to understand. */
		header->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
		header->num_buffers = 0;
		fault = net_header_fault(header, (size_t)e->out_len);
		if (fault == NULL)
			fault = unnegotiated_offload(n, header);
	}
	if (fault == NULL)
		return true;
	snprintf(why, sizeof(why), "a frame's header is broken: %s", fault);
	virtio_needs_reset(&n->v, why);
	return false;
}

/* -EAGAIN, or 0: it is gone, one way or another. */
static int send_frame(struct virtio_net *n, struct vq_elem *e, struct virtio_net_hdr_v1 *header,
		      unsigned pair)
{
	struct iovec iov[NET_MAX_SEGMENTS] = {{.iov_base = header, .iov_len = sizeof(*header)}};
	struct net_backend *b = n->card.backend;
	int ret;

	if (b == NULL || !n->s.link || e->out_len < MIN_FRAME || e->out_len > NET_FRAME_MAX ||
	    e->nout >= NET_MAX_SEGMENTS) {
		n->card.sent.dropped++;
		return 0;
	}
	memcpy(iov + 1, e->out, e->nout * sizeof(iov[0]));
	if (n->s.pairs > 1)
		net_steer_sent(&n->steering, iov, e->nout + 1, pair);
	ret = b->ops->send(b, iov, e->nout + 1, NET_HEADER_SIZE + (size_t)e->out_len);
	if (ret < 0)
		return ret;
	rate_gate_charge(&n->tx_rate, e->out_len);
	n->card.sent.frames++;
	n->card.sent.bytes += e->out_len;
	return 0;
}

/* After a resume nothing is sent before the back end is there and the old connections are reset:
 * new connections must not be reset. */
static bool tx_allowed(const struct virtio_net *n)
{
	return !n->tx_blocked && (!n->s.link || (n->card.backend != NULL && net_resume_done(n)));
}

void net_serve_tx(struct virtio_net *n, unsigned queue)
{
	struct virtio_net_hdr_v1 header;
	uint64_t budget = VIRTIO_TURN_BYTES;
	unsigned frames = TURN_FRAMES;
	struct vq_elem e;

	for (; budget > 0 && frames > 0 && tx_allowed(n) && rate_gate_allows(&n->tx_rate) &&
	       virtio_pop(&n->v, queue, &e);
	     frames--) {
		/* A longer one is dropped. */
		virtio_spend(&budget, u64_min(e.out_len, NET_MESSAGE_MAX));
		if (!read_tx_header(n, &e, &header)) {
			vq_unpop(&n->v.queue[queue]);
			return;
		}
		if (send_frame(n, &e, &header, queue / 2) == -EAGAIN) {
			vq_unpop(&n->v.queue[queue]);
			n->tx_blocked = true;
		} else {
			virtio_push(&n->v, queue, &e, 0);
		}
	}
	virtio_interrupt(&n->v, queue);
	if (budget == 0 || frames == 0)
		virtio_reschedule(&n->v, queue);
}
