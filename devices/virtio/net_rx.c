/*
 * virtio-net, host → guest (virtio 1.2 §5.1.6.3 to 5.1.6.5); see net_internal.h. Machine lock held.
 *
 * A frame is copied once, from the back end's buffers into the driver's. It may take several of
 * them (MRG_RXBUF), which the driver then sees all at once or, when there are too few, not at all.
 * A turn, that is a round of the loop or a notification, delivers at most VIRTIO_TURN_BYTES; the
 * back end keeps the rest, as it does when there are no buffers.
 */
#include <errno.h>

#include "base/num.h"
#include "devices/virtio/net_internal.h"

#define MIN_MESSAGE (NET_HEADER_SIZE + 14u)

/* A frame on its way into the driver's buffers. */
struct delivery {
	const struct iovec *iov; /* where the rest of it is, */
	unsigned niov;
	size_t offset; /* from here on, */
	size_t left;   /* so much */
	struct vq_given given[VQ_MAX_SIZE];
	unsigned n;
	uint8_t *num_buffers[2]; /* in the header that the driver gets */
};

static bool in_table(const struct virtio_net_mac *mac, uint32_t n, const uint8_t *wanted)
{
	for (uint32_t i = 0; i < n; i++) {
		if (memcmp(mac[i].octet, wanted, NET_MAC_SIZE) == 0)
			return true;
	}
	return false;
}

/* §5.1.6.5.1, §5.1.6.5.2 */
bool net_accepts(const struct virtio_net_state *s, const uint8_t *destination)
{
	static const uint8_t broadcast[NET_MAC_SIZE] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

	if ((s->rx_mode & NET_RX_PROMISC) != 0)
		return true;
	if (memcmp(destination, broadcast, NET_MAC_SIZE) == 0)
		return (s->rx_mode & NET_RX_NOBCAST) == 0;
	if ((destination[0] & 1) != 0) /* multicast */
		return (s->rx_mode & NET_RX_NOMULTI) == 0 &&
		       ((s->rx_mode & (NET_RX_ALLMULTI | NET_RX_MANY_MULTI)) != 0 ||
			in_table(s->macs + s->unicast, s->nmacs - s->unicast, destination));
	return (s->rx_mode & NET_RX_NOUNI) == 0 &&
	       ((s->rx_mode & (NET_RX_ALLUNI | NET_RX_MANY_UNI)) != 0 ||
		memcmp(destination, s->mac, NET_MAC_SIZE) == 0 ||
		in_table(s->macs, s->unicast, destination));
}

/* The header, as the driver gets it. Where num_buffers lies is noted: its value comes last. */
static bool start_delivery(struct delivery *d, struct vq_elem *e)
{
	struct virtio_net_hdr_v1 header;
	const size_t before = offsetof(struct virtio_net_hdr_v1, num_buffers);

	net_gather(d->iov, d->niov, 0, &header, sizeof(header));
	if (vq_write(e, &header, before) < before)
		return false;
	d->num_buffers[0] = vq_skip_in(e);
	d->num_buffers[1] = vq_skip_in(e);
	d->offset += sizeof(header);
	d->left -= sizeof(header);
	return d->num_buffers[1] != NULL;
}

/* Fill one element. */
static size_t fill_buffer(struct delivery *d, struct vq_elem *e)
{
	size_t done = 0;

	while (d->left > 0 && e->in_len > 0) {
		size_t part;

		for (; d->offset >= d->iov->iov_len; d->iov++)
			d->offset -= d->iov->iov_len;
		part = vq_write(e, (const uint8_t *)d->iov->iov_base + d->offset,
				(size_t)u64_min(d->left, d->iov->iov_len - d->offset));
		d->offset += part;
		d->left -= part;
		done += part;
	}
	return done;
}

/* One more of the driver's buffers. Fewer bytes than it has are an error of the driver's only for
 * the header, which is never split. */
static const char *add_buffer(struct delivery *d, struct vq_elem *e)
{
	size_t len = 0;

	if (e->in_len == 0)
		return "a buffer to receive into has no bytes";
	if (d->n == 0) {
		if (!start_delivery(d, e))
			return "a buffer to receive into has no room for the header";
		len = NET_HEADER_SIZE;
	}
	len += fill_buffer(d, e);
	d->given[d->n++] = (struct vq_given){.head = e->head, .len = (uint32_t)len};
	return NULL;
}

static int abandon_delivery(struct virtio_net *n, unsigned queue, const struct delivery *d, int ret)
{
	for (unsigned i = 0; i < d->n; i++)
		vq_unpop(&n->v.queue[queue]);
	if (ret == 0)
		n->card.received.dropped++;
	return ret;
}

static int finish_delivery(struct virtio_net *n, unsigned queue, const struct delivery *d,
			   size_t len)
{
	*d->num_buffers[0] = (uint8_t)d->n;
	*d->num_buffers[1] = 0;
	vq_push_all(&n->v.queue[queue], d->given, d->n);
	n->irq_pending |= 1u << queue;
	n->card.received.frames++;
	n->card.received.bytes += len - NET_HEADER_SIZE;
	return 0;
}

int net_deliver(struct virtio_net *n, const struct iovec *iov, unsigned niov, size_t len)
{
	unsigned pair = net_steer_received(&n->steering, iov, niov, n->s.pairs);
	unsigned queue = net_rx_queue(pair), most = n->v.s.queue[queue].size;
	struct delivery d = {.iov = iov, .niov = niov, .left = len};
	struct vq_elem e;
	const char *fault;

	if (!net_has(n, VIRTIO_NET_F_MRG_RXBUF))
		most = 1;
	while (d.left > 0) {
		/* §5.1.6.4: what can never fit is lost. */
		if (d.n == most)
			return abandon_delivery(n, queue, &d, 0);
		if (!virtio_pop(&n->v, queue, &e))
			return abandon_delivery(n, queue, &d, virtio_serving(&n->v) ? -EAGAIN : 0);
		fault = add_buffer(&d, &e);
		if (fault != NULL) {
			virtio_needs_reset(&n->v, fault);
			vq_unpop(&n->v.queue[queue]);
			return abandon_delivery(n, queue, &d, 0);
		}
	}
	return finish_delivery(n, queue, &d, len);
}

int net_receive(struct net_card *c, const struct iovec *iov, unsigned niov, size_t len)
{
	struct virtio_net *n = container_of(c, struct virtio_net, card);
	uint8_t destination[NET_MAC_SIZE];
	int ret = -EAGAIN;

	if (!virtio_serving(&n->v) || !n->s.link || len < MIN_MESSAGE || len > NET_MESSAGE_MAX) {
		c->received.dropped++;
		return 0;
	}
	net_gather(iov, niov, NET_HEADER_SIZE, destination, sizeof(destination));
	if (!net_accepts(&n->s, destination))
		return 0;
	if (n->rx_turn + len > VIRTIO_TURN_BYTES) {
		if (!n->quiescing)
			virtio_reschedule(&n->v, net_rx_queue(0));
	} else if (net_resume_done(n) && (n->quiescing || rate_gate_allows(&n->rx_rate))) {
		ret = net_deliver(n, iov, niov, len);
	}
	if (ret == 0) {
		n->rx_turn += len;
		rate_gate_charge(&n->rx_rate, len - NET_HEADER_SIZE);
	}
	if (ret == -EAGAIN && n->quiescing)
		ret = net_backlog_add(&n->s, iov, niov, len);
	if (ret == -EAGAIN)
		n->rx_refused = true;
	return ret;
}

void net_interrupt_driver(struct virtio_net *n)
{
	for (unsigned queue = 0; n->irq_pending != 0; queue++, n->irq_pending >>= 1) {
		if ((n->irq_pending & 1) != 0)
			virtio_interrupt(&n->v, queue);
	}
}
