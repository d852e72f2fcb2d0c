/*
 * Hostile queues on disk 0. A device must answer each with DEVICE_NEEDS_RESET (virtio 1.2 §2.1.2) and
 * work again after a reset.
 */
#include "images/tiny/tiny.h"

#define NOWHERE 0x7ff000000000ull /* far above any RAM */

static uint8_t buffer[16];

static void post_one(struct queue *q, struct desc d)
{
	q->desc[0] = d;
	queue_post(q, 0);
}

static void bad_loop(struct queue *q)
{
	q->desc[1] = (struct desc){ (uint64_t)buffer, sizeof(buffer), DESC_NEXT, 0 };
	post_one(q, (struct desc){ (uint64_t)buffer, sizeof(buffer), DESC_NEXT, 1 });
}

static void bad_address(struct queue *q)
{
	post_one(q, (struct desc){ NOWHERE, sizeof(buffer), 0, 0 });
}

static void bad_wrap(struct queue *q)
{
	post_one(q, (struct desc){ ~0xfffull, 0x10000, 0, 0 });
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
	queue_kick(q, (uint16_t)(q->avail.idx - 1));
}

static void bad_nested_indirect(struct queue *q)
{
	q->indirect[0] = (struct desc){ (uint64_t)q->indirect, sizeof(struct desc), DESC_INDIRECT, 0 };
	post_one(q, (struct desc){ (uint64_t)q->indirect, sizeof(struct desc), DESC_INDIRECT, 0 });
}

static void bad_next(struct queue *q)
{
	post_one(q, (struct desc){ (uint64_t)buffer, sizeof(buffer), DESC_NEXT, QUEUE_LEN });
}

static void bad_indirect_len(struct queue *q)
{
	post_one(q, (struct desc){ (uint64_t)q->indirect, 17, DESC_INDIRECT, 0 });
}

static void bad_head(struct queue *q)
{
	queue_post(q, QUEUE_LEN);
}

static void (*const attacks[])(struct queue *q) = {
	NULL,	       bad_loop,     bad_address,	  bad_wrap, bad_avail_idx, bad_queue_address, bad_nested_indirect,
	bad_next,      bad_indirect_len, bad_head,
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
	if (!d || !blk_start(d, F_INDIRECT))
		return;
	attacks[n](&d->dev.queue[0]);
	for (int i = 0; !((status = virtio_status(&d->dev)) & STATUS_NEEDS_RESET) && i < 20000; i++)
		;
	blk_start(d, options.indirect ? F_INDIRECT : 0);
	say("badqueue status %b", (unsigned)status);
}
