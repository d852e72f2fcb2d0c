/* Limits of a network card; see net_internal.h. Machine lock held. */
#include "base/num.h"
#include "devices/virtio/net_internal.h"

static void on_tx_rate(void *opaque)
{
	struct virtio_net *n = opaque;

	net_kick_tx(n);
}

static void on_rx_rate(void *opaque)
{
	struct virtio_net *n = opaque;

	if (n->v.running)
		net_serve_rx(n);
	net_interrupt_driver(n);
}

int net_limit(struct net_card *c, const struct net_limits *limits, struct err *err)
{
	struct virtio_net *n = container_of(c, struct virtio_net, card);
	struct loop *loop = &n->v.m->loop;
	int ret = rate_gate_open(&n->tx_rate, limits->frames, limits->bytes, loop, on_tx_rate, n,
				 err);

	return ret < 0 ? ret
		       : rate_gate_open(&n->rx_rate, limits->frames, limits->bytes, loop,
					on_rx_rate, n, err);
}
