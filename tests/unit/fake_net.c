/* See fake_net.h. One thread. */
#include "tests/unit/fake_net.h"

#include <errno.h>
#include <string.h>

#include "base/num.h"

const uint8_t fake_net_mac[NET_MAC_SIZE] = {0x02, 1, 2, 3, 4, 5};
const uint8_t fake_net_peer[NET_MAC_SIZE] = {0x02, 9, 9, 9, 9, 9};

static struct fake_net *from_backend(struct net_backend *b)
{
	return container_of(b, struct fake_net, backend);
}

static int fake_send(struct net_backend *b, const struct iovec *iov, unsigned n, size_t len)
{
	struct fake_net *net = from_backend(b);
	size_t at = 0;

	net->sends++;
	if (net->full)
		return -EAGAIN;
	net->sent++;
	net->len = len;
	for (unsigned i = 0; i < n; i++) {
		memcpy(net->message + at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	return 0;
}

static void fake_ready(struct net_backend *b)
{
	from_backend(b)->readies++;
}

static void fake_offloads(struct net_backend *b, unsigned accepted)
{
	from_backend(b)->accepted = accepted;
}

static void fake_net_start(struct net_backend *b)
{
	from_backend(b)->starts++;
}

static void fake_quiesce(struct net_backend *b)
{
	struct fake_net *net = from_backend(b);

	net->quiesces++;
	while (net->arrived > 0 &&
	       fake_net_give(net, fake_net_mac, net->size, (uint8_t)net->arrived) == 0)
		net->arrived--;
}

static void fake_close(struct net_backend *b)
{
	from_backend(b)->closed = true;
}

static const struct net_backend_ops fake_ops = {
	.name = "fake",
	.send = fake_send,
	.ready = fake_ready,
	.offloads = fake_offloads,
	.start = fake_net_start,
	.quiesce = fake_quiesce,
	.close = fake_close,
};

void fake_net_plug(struct fake *f, uint16_t pairs)
{
	struct appliance_net net = {.mtu = 1500, .pairs = pairs};
	const struct virtio_backend backend = {.net = &net};

	memcpy(net.mac, fake_net_mac, sizeof(net.mac));
	fake_init(f);
	fake_plug(f, VIRTIO_TYPE_NET, "net0", &backend);
}

struct net_card *fake_net_card(struct fake *f)
{
	return virtio_net_card(&f->v->dev);
}

void fake_net_connect(struct fake_net *net, struct fake *f)
{
	net->backend.ops = &fake_ops;
	net_connect(fake_net_card(f), &net->backend);
}

void fake_net_message(uint8_t *to, const uint8_t *destination, size_t len, uint8_t first)
{
	memset(to, 0, NET_HEADER_SIZE);
	for (size_t i = NET_HEADER_SIZE; i < len; i++)
		to[i] = (uint8_t)(first + i - NET_HEADER_SIZE);
	memcpy(to + NET_HEADER_SIZE, destination, NET_MAC_SIZE);
	memcpy(to + NET_HEADER_SIZE + NET_MAC_SIZE, fake_net_peer, NET_MAC_SIZE);
}

int fake_net_give(struct fake_net *net, const uint8_t *destination, size_t len, uint8_t first)
{
	static uint8_t message[NET_MESSAGE_MAX + 1];
	struct net_card *card = net->backend.card;
	/* In pieces, none of which ends where a header does. */
	struct iovec iov[3] = {
		{.iov_base = message, .iov_len = 5},
		{.iov_base = message + 5, .iov_len = 11},
		{.iov_base = message + 16, .iov_len = len - 16},
	};

	fake_net_message(message, destination, len, first);
	return card->ops->receive(card, iov, ARRAY_SIZE(iov), len);
}
