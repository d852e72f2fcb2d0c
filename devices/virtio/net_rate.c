/* Limits of a network card; see net_internal.h. Machine lock held. */
#include "base/clock.h"
#include "base/num.h"
#include "devices/virtio/net_internal.h"

bool net_rate_allows(struct net_rate *r)
{
	uint64_t now, wait;

	if (r->timer.fd < 0)
		return true;
	now = clock_monotonic_ns();
	wait = u64_max(rate_wait_ns(&r->frames, now), rate_wait_ns(&r->bytes, now));
	if (wait > 0)
		timer_set(&r->timer, (unsigned)u64_min(wait / NS_PER_MS + 1, UINT32_MAX));
	return wait == 0;
}

void net_rate_charge(struct net_rate *r, uint64_t bytes)
{
	uint64_t now;

	if (r->timer.fd < 0)
		return;
	now = clock_monotonic_ns();
	rate_charge(&r->frames, 1, now);
	rate_charge(&r->bytes, bytes, now);
}

void net_rate_close(struct net_rate *r)
{
	timer_close(&r->timer);
}

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

static int open_rate(struct virtio_net *n, struct net_rate *r, void (*fn)(void *opaque),
		     const struct net_limits *limits, struct err *err)
{
	r->frames.per_second = limits->frames;
	r->bytes.per_second = limits->bytes;
	return timer_open(&r->timer, &n->v.m->loop, fn, n, err);
}

int net_limit(struct net_card *c, const struct net_limits *limits, struct err *err)
{
	struct virtio_net *n = container_of(c, struct virtio_net, card);
	int ret = open_rate(n, &n->tx_rate, on_tx_rate, limits, err);

	return ret < 0 ? ret : open_rate(n, &n->rx_rate, on_rx_rate, limits, err);
}
