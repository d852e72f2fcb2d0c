/*
 * Hostile queues on disk 0. A device must answer each with DEVICE_NEEDS_RESET (virtio 1.2 §2.1.2)
 * and work again after a reset. Every attack is a valid read request but for the one thing it is
 * named after, so that only the check for that thing can refuse it.
 */
#include "images/tiny/tiny.h"

#define NOWHERE 0x7ff000000000ull /* far above any RAM */

/* A request's three descriptors, of which the first is number FIRST of the table. */
static void read_request(struct desc *at, uint16_t first)
{
	static uint64_t header[2]; /* type 0 (in), sector 0 */
	static uint8_t data[SECTOR], status;

	at[0] = (struct desc){(uint64_t)header, sizeof(header), DESC_NEXT, (uint16_t)(first + 1)};
	at[1] = (struct desc){(uint64_t)data, SECTOR, DESC_NEXT | DESC_WRITE,
			      (uint16_t)(first + 2)};
	at[2] = (struct desc){(uint64_t)&status, 1, DESC_WRITE, 0};
}

static void post_indirect(struct queue *q, uint32_t len)
{
	q->desc[0] = (struct desc){(uint64_t)q->indirect, len, DESC_INDIRECT, 0};
	queue_post(q, 0);
}

static void bad_loop(struct queue *q)
{
	q->desc[1].next = 1;
	queue_post(q, 0);
}

static void bad_address(struct queue *q)
{
	q->desc[1].addr = NOWHERE;
	queue_post(q, 0);
}

static void bad_length(struct queue *q)
{
	q->desc[1].addr = ~0xfffull;
	q->desc[1].len = 0x10000;
	queue_post(q, 0);
}

static void bad_avail_idx(struct queue *q)
{
	uint16_t idx = q->avail.idx;

	*(volatile uint16_t *)&q->avail.idx = (uint16_t)(idx + QUEUE_LEN + 1);
	queue_kick(q, idx);
}

static void bad_queue_address(struct queue *q)
{
	struct vdev *d = q->dev;

	virtio_negotiate(d, 0);
	virtio_queue_at(d, 0, NOWHERE, NOWHERE + 0x1000, NOWHERE + 0x2000);
	virtio_start(d);
	queue_post(q, 0);
}

static void bad_nested_indirect(struct queue *q)
{
	read_request(&q->desc[4], 0);
	q->indirect[0] =
		(struct desc){(uint64_t)&q->desc[4], 3 * sizeof(struct desc), DESC_INDIRECT, 0};
	post_indirect(q, sizeof(struct desc));
}

/* The table's memory goes on with q->indirect, where number QUEUE_LEN would be. */
static void bad_next(struct queue *q)
{
	q->desc[1].next = QUEUE_LEN;
	q->indirect[0] = q->desc[2];
	queue_post(q, 0);
}

static void bad_indirect_length(struct queue *q)
{
	read_request(q->indirect, 0);
	post_indirect(q, 3 * sizeof(struct desc) + 1);
}

static void bad_head(struct queue *q)
{
	read_request(q->indirect, QUEUE_LEN);
	queue_post(q, QUEUE_LEN);
}

static void (*const attacks[])(struct queue *q) = {
	[1] = bad_loop,	     [2] = bad_address,		[3] = bad_length,
	[4] = bad_avail_idx, [5] = bad_queue_address,	[6] = bad_nested_indirect,
	[7] = bad_next,	     [8] = bad_indirect_length, [9] = bad_head,
};

void cmd_badqueue(const char *args)
{
	uint64_t n;
	struct disk *d;
	uint32_t status;

	if (!args_get(args, 1, &n))
		return;
	if (n < 1 || n >= sizeof(attacks) / sizeof(attacks[0])) {
		say("error arguments");
		return;
	}
	d = blk_disk(0);
	if (!d)
		return;
	blk_start(d, F_INDIRECT);
	read_request(d->dev.queue[0].desc, 0);
	attacks[n](&d->dev.queue[0]);
	for (int i = 0; !((status = virtio_status(&d->dev)) & STATUS_NEEDS_RESET) && i < 5000; i++)
		;
	blk_restart(d);
	say("badqueue status %b", (unsigned)status);
}
