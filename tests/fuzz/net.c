/*
 * virtio-net against a hostile driver: the input is what it writes into registers, rings and
 * buffers, and what the network does meanwhile. Whatever that is, the state of the card must be one
 * that a machine may wake from, and every buffer must be given back at most once.
 */
#include <string.h>

#include "base/num.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/fake_net.h"

#define QUEUE_SIZE 16u
#define MAX_STEPS  400u

static struct fake guest, woken;
static struct fake_net net, net_after;

static void put_descriptor(struct fuzz_input *in, unsigned queue)
{
	uint64_t table = guest.q[queue].desc;
	unsigned index = (unsigned)fuzz_take(in, 1) % QUEUE_SIZE;
	uint64_t addr = FAKE_BUFFERS + fuzz_take(in, 2) * 16;
	uint32_t len = (uint32_t)fuzz_take(in, 2);
	uint16_t flags = (uint16_t)(fuzz_take(in, 1) & 7), next = (uint16_t)(fuzz_take(in, 1) % 20);

	fake_desc(&guest, table, index, addr, len << (flags & 1), flags, next);
}

static void put_bytes(struct fuzz_input *in)
{
	uint64_t addr = FAKE_QUEUES + fuzz_take(in, 3) % (FAKE_LOW - FAKE_QUEUES - 256);

	(void)fuzz_take_bytes(in, fake_ram(&guest, addr, 256), fuzz_take(in, 1) % 32);
}

/* A frame from the network; the header is the back end's, and sound. */
static void arrive(struct fuzz_input *in)
{
	size_t len = 26 + fuzz_take(in, 2) % (NET_MESSAGE_MAX - 26);
	uint8_t destination[NET_MAC_SIZE];

	memcpy(destination, fake_net_mac, sizeof(destination));
	destination[0] ^= (uint8_t)fuzz_take(in, 1) & 3;
	(void)fake_net_give(&net, destination, len, 1);
}

static void pause_and_go_on(struct fuzz_input *in)
{
	struct device *dev = &guest.v->dev;

	net.arrived = (unsigned)fuzz_take(in, 1) % 8;
	net.size = 26 + fuzz_take(in, 2) % 30000;
	dev->ops->quiesce(dev);
	dev->ops->start(dev);
}

static void step(struct fuzz_input *in)
{
	struct net_card *card = fake_net_card(&guest);
	unsigned what = (unsigned)fuzz_take(in, 1), queue = what / 16 % guest.v->s.nqueues;

	switch (what % 16) {
	case 0:
	case 1:
	case 2:
		put_descriptor(in, queue);
		break;
	case 3:
	case 4:
		fake_make_available(&guest, queue, (uint16_t)(fuzz_take(in, 1) % 20));
		fake_kick(&guest, queue);
		break;
	case 5:
		fake_kick(&guest, queue);
		break;
	case 6:
	case 7:
		put_bytes(in);
		break;
	case 8:
	case 9:
		arrive(in);
		break;
	case 10:
		net.full = !net.full;
		card->ops->writable(card);
		break;
	case 11:
		card->ops->link(card, what / 16 % 2);
		break;
	case 12:
		pause_and_go_on(in);
		break;
	case 13:
		fake_loop(&guest);
		break;
	case 14:
		fake_write(&guest, fuzz_take(in, 2) % 0x140, (uint32_t)fuzz_take(in, 4));
		break;
	default:
		fake_bring_up(&guest, fuzz_take(in, 5) & guest.v->offered, guest.v->s.nqueues,
			      QUEUE_SIZE);
	}
}

static void check_given_back(void)
{
	for (unsigned i = 0; i < guest.v->s.nqueues; i++) {
		const struct vq_state *q = &guest.v->s.queue[i];

		fuzz_require(!q->ready || q->next_used == q->next_avail);
	}
}

/* Save, wake, and let the old frames and resets out. */
static void check_wake(uint16_t pairs)
{
	struct err err = {0};

	net.arrived = 5;
	net.size = 3000;
	memset(&net_after, 0, sizeof(net_after));
	fake_net_plug(&woken, pairs);
	fuzz_require(fake_move(&guest, &woken, &err) == 0);
	fake_net_connect(&net_after, &woken);
	for (unsigned i = 0; i < woken.v->s.nqueues; i++)
		fake_kick(&woken, i);
	fake_loop(&woken);
	fake_free(&woken);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {.at = data, .left = size};
	uint16_t pairs = fuzz_take(&in, 1) % 2 ? 3 : 1;

	memset(&net, 0, sizeof(net));
	fake_net_plug(&guest, pairs);
	fake_net_connect(&net, &guest);
	fake_bring_up(&guest, guest.v->offered & ~fuzz_take(&in, 3), guest.v->s.nqueues,
		      QUEUE_SIZE);
	for (unsigned i = 0; i < MAX_STEPS && in.left > 0; i++)
		step(&in);
	check_given_back();
	check_wake(pairs);
	fake_free(&guest);
	fuzz_require(net.closed);
	return 0;
}
