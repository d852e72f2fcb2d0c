/*
 * virtio-net (virtio 1.2 §5.1): the device, its state and its link. Sending is in net_tx.c,
 * receiving in net_rx.c, the control queue in net_ctrl.c. Machine lock held.
 *
 * A save at any moment. What the driver has queued to send stays in its queue. What the back end
 * had for it goes into its buffers or, where it has none, into the backlog. After a resume, before
 * anything new: the backlog; resets for connections that ended in the process that saved
 * (net_flows.h); then the driver is asked to announce itself (§5.1.6.5.4). All of that waits for
 * the back end, which is opened after the guest has started.
 */
#include "devices/virtio/net.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/num.h"
#include "devices/virtio/net_internal.h"

#define FEATURES                                                                                   \
	(NET_GUEST_OFFLOADS | VIRTIO_FEATURE(VIRTIO_NET_F_CSUM) |                                  \
	 VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) | VIRTIO_FEATURE(VIRTIO_NET_F_MTU) |     \
	 VIRTIO_FEATURE(VIRTIO_NET_F_MAC) | VIRTIO_FEATURE(VIRTIO_NET_F_HOST_TSO4) |               \
	 VIRTIO_FEATURE(VIRTIO_NET_F_HOST_TSO6) | VIRTIO_FEATURE(VIRTIO_NET_F_HOST_ECN) |          \
	 VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF) | VIRTIO_FEATURE(VIRTIO_NET_F_STATUS) |            \
	 VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_VQ) | VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_RX) |             \
	 VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_RX_EXTRA) |                                              \
	 VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_ANNOUNCE) | VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_MAC_ADDR))

static const struct state_field mac_fields[] = {
	STATE_ARRAY(struct virtio_net_mac, octet, 1, 1, STATE_HEX),
};

static const struct state_table mac_table =
	STATE_TABLE("virtio-net-mac", 1, struct virtio_net_mac, mac_fields);

static const struct state_field net_fields[] = {
	STATE_ARRAY(struct virtio_net_state, mac, 1, 1, STATE_HEX),
	STATE_SCALAR(struct virtio_net_state, link, 2, 1, 0),
	STATE_SCALAR(struct virtio_net_state, announce, 3, 1, 0),
	STATE_SCALAR(struct virtio_net_state, mtu, 4, 1, STATE_EQUAL),
	STATE_SCALAR(struct virtio_net_state, pairs, 5, 1, 0),
	STATE_SCALAR(struct virtio_net_state, rx_mode, 6, 1, STATE_HEX),
	STATE_SCALAR(struct virtio_net_state, offloads_off, 7, 1, STATE_HEX),
	STATE_SCALAR(struct virtio_net_state, unicast, 8, 1, 0),
	STATE_SCALAR(struct virtio_net_state, nmacs, 9, 1, 0),
	STATE_VSTRUCT(struct virtio_net_state, macs, nmacs, 10, 1, &mac_table),
	STATE_STRUCT(struct virtio_net_state, flows, 11, 1, &net_flows_table),
	STATE_SCALAR(struct virtio_net_state, backlog_first, 12, 1, 0),
	STATE_SCALAR(struct virtio_net_state, backlog_second, 13, 1, 0),
	STATE_VARRAY(struct virtio_net_state, first, backlog_first, 14, 1, STATE_HEX),
	STATE_VARRAY(struct virtio_net_state, second, backlog_second, 15, 1, STATE_HEX),
};

const struct state_table virtio_net_table =
	STATE_TABLE("virtio-net", 1, struct virtio_net_state, net_fields);

/* §5.1.4 */
void net_update_config(struct virtio_net *n)
{
	unsigned status = n->s.link ? VIRTIO_NET_S_LINK_UP : 0;

	if (n->s.link && n->s.announce)
		status |= VIRTIO_NET_S_ANNOUNCE;
	n->config = (struct virtio_net_config){
		.status = htole16((uint16_t)status),
		.max_virtqueue_pairs = htole16(n->max_pairs),
		.mtu = htole16(n->s.mtu),
	};
	memcpy(n->config.mac, n->s.mac, NET_MAC_SIZE);
	n->card.up = n->s.link != 0;
	if (memcmp(n->card.mac, n->s.mac, NET_MAC_SIZE) == 0)
		return;
	memcpy(n->card.mac, n->s.mac, NET_MAC_SIZE);
	if (n->card.mac_changed != NULL)
		n->card.mac_changed(n->card.opaque);
}

/* Show it, and have the driver look, now or when the machine goes on. */
static void net_config_changed(struct virtio_net *n)
{
	net_update_config(n);
	n->config_pending = !n->v.running;
	if (!n->config_pending && (n->v.s.status & VIRTIO_DRIVER_OK) != 0)
		virtio_config_changed(&n->v);
}

static unsigned accepted_offloads(const struct virtio_net *n)
{
	uint64_t on = n->v.s.features & ~n->s.offloads_off;
	unsigned offloads = NET_CHECKSUM;

	/* §5.1.3.1: the others need it. */
	if ((n->v.s.status & VIRTIO_DRIVER_OK) == 0 ||
	    (on & VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_CSUM)) == 0)
		return 0;
	if ((on & VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO4)) != 0)
		offloads |= NET_TSO4;
	if ((on & VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO6)) != 0)
		offloads |= NET_TSO6;
	if ((on & VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_ECN)) != 0)
		offloads |= NET_ECN;
	return offloads;
}

void net_update_offloads(struct virtio_net *n)
{
	struct net_backend *b = n->card.backend;
	unsigned offloads = accepted_offloads(n);

	if (b == NULL || !n->v.running || offloads == n->offloads_told)
		return;
	n->offloads_told = offloads;
	if (b->ops->offloads != NULL)
		b->ops->offloads(b, offloads);
}

bool net_resume_done(const struct virtio_net *n)
{
	return !n->resetting && net_backlog_bytes(&n->s) == 0;
}

void net_kick_tx(struct virtio_net *n)
{
	for (unsigned pair = 0; pair < n->max_pairs; pair++)
		virtio_notify(&n->v, net_tx_queue(pair));
}

static int emit_reset(void *opaque, const uint8_t *frame, size_t len)
{
	static const struct virtio_net_hdr_v1 plain;
	const struct iovec iov[] = {
		{.iov_base = (void *)(uintptr_t)&plain, .iov_len = sizeof(plain)},
		{.iov_base = (void *)(uintptr_t)frame, .iov_len = len},
	};

	return net_deliver(opaque, iov, ARRAY_SIZE(iov), sizeof(plain) + len);
}

/* What is left from before the save comes first. */
static bool finish_resume(struct virtio_net *n)
{
	if (net_resume_done(n))
		return true;
	if (n->card.backend == NULL || !virtio_serving(&n->v) || !net_backlog_deliver(n))
		return false;
	n->resetting = n->resetting && net_flows_reset(&n->s.flows, emit_reset, n) != 0;
	if (n->resetting)
		return false;
	net_kick_tx(n);
	return true;
}

/* The driver may have new buffers. */
void net_serve_rx(struct virtio_net *n)
{
	if (!finish_resume(n) || !n->rx_refused || n->card.backend == NULL)
		return;
	n->rx_refused = false;
	n->card.backend->ops->ready(n->card.backend);
}

static void net_notify(struct virtio_device *v, unsigned index)
{
	struct virtio_net *n = net_from_virtio(v);
	/* §5.1.2: it stands behind all pairs when the driver knows of more than one. */
	unsigned ctrl_queue = net_has(n, VIRTIO_NET_F_MQ) ? 2u * n->max_pairs : 2u;

	n->rx_turn = 0;
	net_update_offloads(n); /* the device is not called when the driver sets DRIVER_OK */
	if (index == ctrl_queue)
		net_serve_ctrl(n, index);
	else if (index % 2 == 0)
		net_serve_rx(n);
	else
		net_serve_tx(n, index);
	net_interrupt_driver(n);
}

static void net_forget_driver(struct virtio_net *n)
{
	memcpy(n->s.mac, n->mac, NET_MAC_SIZE);
	n->s.announce = 0;
	n->s.pairs = 1;
	n->s.rx_mode = NET_RX_PROMISC; /* until it says what it wants */
	n->s.offloads_off = 0;
	n->s.unicast = n->s.nmacs = 0;
	net_backlog_clear(&n->s);
	n->tx_blocked = n->resetting = n->config_pending = false;
	n->irq_pending = 0;
	net_update_config(n);
}

/* Connections may continue with a new driver: the flows stay. */
static void net_reset(struct virtio_device *v)
{
	struct virtio_net *n = net_from_virtio(v);

	net_forget_driver(n);
	net_update_offloads(n);
	if (v->running)
		net_serve_rx(n); /* what waits for buffers is dropped */
}

static void net_start(struct virtio_device *v)
{
	struct virtio_net *n = net_from_virtio(v);
	struct net_backend *b = n->card.backend;

	n->quiescing = n->tx_blocked = false;
	n->rx_turn = 0;
	if (n->config_pending)
		net_config_changed(n);
	if (b == NULL)
		return;
	net_update_offloads(n);
	(void)finish_resume(n);
	if (b->ops->start != NULL)
		b->ops->start(b);
	net_serve_rx(n);
}

static void net_quiesce(struct virtio_device *v)
{
	struct virtio_net *n = net_from_virtio(v);
	struct net_backend *b = n->card.backend;

	n->quiescing = true;
	n->rx_turn = 0;
	if (b != NULL && b->ops->quiesce != NULL)
		b->ops->quiesce(b);
	net_interrupt_driver(n);
}

static int net_forget(struct virtio_device *v, struct err *err)
{
	struct virtio_net *n = net_from_virtio(v);
	struct net_backend *b = n->card.backend;

	n->tx_blocked = n->rx_refused = n->config_pending = false;
	n->irq_pending = 0;
	n->steering = (struct net_steering){0};
	n->keep_link = true;
	n->kept_link = n->s.link;
	return b != NULL && b->ops->forget != NULL ? b->ops->forget(b, err) : 0;
}

/* The cable is the host's: a guest that is taken back may have known it otherwise. */
static void net_restore_link(struct virtio_net *n)
{
	if (!n->keep_link)
		return;
	n->keep_link = false;
	n->config_pending = n->s.link != n->kept_link || n->s.announce;
	n->s.link = n->kept_link;
}

static void net_loaded(struct virtio_device *v)
{
	struct virtio_net *n = net_from_virtio(v);

	n->resetting = n->s.flows.n > 0;
	n->s.announce =
		(v->s.status & VIRTIO_DRIVER_OK) != 0 && net_has(n, VIRTIO_NET_F_GUEST_ANNOUNCE);
	net_restore_link(n);
	net_update_config(n);
}

static void net_link(struct net_card *c, bool up)
{
	struct virtio_net *n = container_of(c, struct virtio_net, card);

	if (n->s.link == up)
		return;
	n->s.link = up;
	net_config_changed(n);
	if (n->v.running) /* what waited in the queue is sent, or dropped */
		net_kick_tx(n);
}

/* A round of the loop is over. */
static void on_net_round(struct loop_hook *hook)
{
	struct virtio_net *n = container_of(hook, struct virtio_net, round);

	n->rx_turn = 0;
	net_interrupt_driver(n);
}

static void net_connected(struct net_card *c)
{
	struct virtio_net *n = container_of(c, struct virtio_net, card);
	bool was_up = n->s.link;

	n->s.link = 1;
	if (!was_up || n->s.announce)
		net_config_changed(n);
	if (!n->v.running)
		return;
	net_update_offloads(n);
	(void)finish_resume(n);
	if (c->backend->ops->start != NULL)
		c->backend->ops->start(c->backend);
	net_kick_tx(n);
	net_interrupt_driver(n);
}

static void net_dropped(struct net_card *c)
{
	c->received.dropped++;
}

static void net_writable(struct net_card *c)
{
	struct virtio_net *n = container_of(c, struct virtio_net, card);

	n->tx_blocked = false;
	net_kick_tx(n);
}

static const struct net_card_ops card_ops = {
	.receive = net_receive,
	.dropped = net_dropped,
	.writable = net_writable,
	.link = net_link,
	.connected = net_connected,
	.limit = net_limit,
};

static int net_state_damaged(struct err *err, const char *what)
{
	return err_set(err, ERR_INTEGRITY, "impossible %s", what);
}

static int net_check(struct virtio_device *v, const void *staged, struct err *err)
{
	const struct virtio_net_state *s = staged;

	if (s->link > 1 || s->announce > 1)
		return net_state_damaged(err, "status");
	if (s->pairs == 0 || s->pairs > net_from_virtio(v)->max_pairs)
		return net_state_damaged(err, "number of queues");
	if ((s->rx_mode & ~(uint32_t)NET_RX_KNOWN) != 0)
		return net_state_damaged(err, "receive mode");
	if ((s->offloads_off & ~NET_GUEST_OFFLOADS) != 0)
		return net_state_damaged(err, "offloads");
	if ((s->mac[0] & 1) != 0 || s->unicast > s->nmacs)
		return net_state_damaged(err, "addresses");
	if (!net_flows_valid(&s->flows))
		return net_state_damaged(err, "connections");
	return net_backlog_valid(s) ? 0 : net_state_damaged(err, "frames in hand");
}

static void net_free(struct virtio_device *v)
{
	struct virtio_net *n = net_from_virtio(v);

	loop_unhook(&v->m->loop, &n->round);
	rate_gate_close(&n->tx_rate);
	rate_gate_close(&n->rx_rate);
	if (n->card.backend != NULL)
		n->card.backend->ops->close(n->card.backend);
	free(n);
}

static const struct virtio_type net_type = {
	.id = VIRTIO_TYPE_NET,
	.table = &virtio_net_table,
	.notify = net_notify,
	.reset = net_reset,
	.start = net_start,
	.quiesce = net_quiesce,
	.forget = net_forget,
	.loaded = net_loaded,
	.check = net_check,
	.free = net_free,
};

int virtio_net_create(struct virtio_device **out, struct machine *m, const char *id,
		      const struct virtio_backend *backend, struct err *err)
{
	const struct appliance_net *net = backend->net;
	struct virtio_net *n = calloc(1, sizeof(*n));
	uint64_t features = FEATURES;

	if (n == NULL)
		return err_sys(err, ENOMEM, "%s", id);
	memcpy(n->mac, net->mac, NET_MAC_SIZE);
	n->max_pairs = net->pairs;
	n->s.mtu = net->mtu;
	n->card.ops = &card_ops;
	n->card.flows = &n->s.flows;
	n->tx_rate.timer = n->rx_rate.timer = TIMER_CLOSED;
	net_forget_driver(n);
	n->v.config = &n->config;
	n->v.config_len = offsetof(struct virtio_net_config, speed);
	if (net->pairs > 1)
		features |= VIRTIO_FEATURE(VIRTIO_NET_F_MQ);
	virtio_init(&n->v, m, id, &net_type, features, 2u * net->pairs + 1, &n->s);
	loop_hook(&m->loop, &n->round, on_net_round);
	*out = &n->v;
	return 0;
}

struct net_card *virtio_net_card(struct device *dev)
{
	struct virtio_device *v = container_of(dev, struct virtio_device, dev);

	assert(v->type == &net_type);
	return &net_from_virtio(v)->card;
}
