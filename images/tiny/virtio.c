/* virtio 1.2 over MMIO (§4.2) with split queues (§2.7). One request at a time, completion by
 * polling. */
#include "images/tiny/tiny.h"

enum {
	REG_MAGIC = 0x00,
	REG_VERSION = 0x04,
	REG_DEVICE_ID = 0x08,
	REG_DEVICE_FEATURES = 0x10,
	REG_DEVICE_FEATURES_SEL = 0x14,
	REG_DRIVER_FEATURES = 0x20,
	REG_DRIVER_FEATURES_SEL = 0x24,
	REG_QUEUE_SEL = 0x30,
	REG_QUEUE_NUM_MAX = 0x34,
	REG_QUEUE_NUM = 0x38,
	REG_QUEUE_READY = 0x44,
	REG_QUEUE_NOTIFY = 0x50,
	REG_STATUS = 0x70,
	REG_QUEUE_DESC = 0x80,
	REG_QUEUE_DRIVER = 0x90,
	REG_QUEUE_DEVICE = 0xa0,
	REG_CONFIG = 0x100,
};
enum { MAGIC = 0x74726976, NO_INTERRUPT = 1, NO_NOTIFY = 1 };

void virtio_scan(void)
{
	for (uint64_t i = 0; i < options.mmio_count; i++) {
		uint64_t base = options.mmio_base + i * options.mmio_stride;

		if (mmio_read(base + REG_MAGIC) != MAGIC || mmio_read(base + REG_VERSION) != 2)
			continue;
		switch (mmio_read(base + REG_DEVICE_ID)) {
		case VIRTIO_NET:
			net_probe(base);
			break;
		case VIRTIO_BLK:
			blk_probe(base);
			break;
		case VIRTIO_CONSOLE:
			console_probe(base);
			break;
		case VIRTIO_RNG:
			rng_probe(base);
			break;
		case VIRTIO_BALLOON:
			balloon_probe(base);
			break;
		case VIRTIO_FS:
			fs_probe(base);
			break;
		case VIRTIO_VSOCK:
			vsock_probe(base);
			break;
		}
	}
}

static void status_add(const struct vdev *d, uint32_t bits)
{
	mmio_write(d->base + REG_STATUS, virtio_status(d) | bits);
}

/* §3.1.1, steps 1 to 6. */
bool virtio_negotiate(struct vdev *d, uint64_t wanted)
{
	uint64_t offered;
	struct spin wait = {0};

	wanted |= F_VERSION_1 | (options.eventidx ? F_EVENT_IDX : 0);
	mmio_write(d->base + REG_STATUS, 0);
	while (virtio_status(d) && spin(&wait))
		;
	mmio_write(d->base + REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
	mmio_write(d->base + REG_DEVICE_FEATURES_SEL, 1);
	offered = (uint64_t)mmio_read(d->base + REG_DEVICE_FEATURES) << 32;
	mmio_write(d->base + REG_DEVICE_FEATURES_SEL, 0);
	offered |= mmio_read(d->base + REG_DEVICE_FEATURES);
	d->features = offered & wanted;
	mmio_write(d->base + REG_DRIVER_FEATURES_SEL, 1);
	mmio_write(d->base + REG_DRIVER_FEATURES, (uint32_t)(d->features >> 32));
	mmio_write(d->base + REG_DRIVER_FEATURES_SEL, 0);
	mmio_write(d->base + REG_DRIVER_FEATURES, (uint32_t)d->features);
	status_add(d, STATUS_FEATURES_OK);
	return d->features & F_VERSION_1 && virtio_status(d) & STATUS_FEATURES_OK;
}

static void write64(uint64_t reg, uint64_t v)
{
	mmio_write(reg, (uint32_t)v);
	mmio_write(reg + 4, (uint32_t)(v >> 32));
}

void virtio_queue_at(struct vdev *d, uint32_t index, uint64_t desc, uint64_t avail, uint64_t used)
{
	virtio_queue_of(d, index, QUEUE_LEN, desc, avail, used);
}

void virtio_queue_of(struct vdev *d, uint32_t index, uint32_t len, uint64_t desc, uint64_t avail,
		     uint64_t used)
{
	mmio_write(d->base + REG_QUEUE_SEL, index);
	mmio_write(d->base + REG_QUEUE_NUM, len);
	write64(d->base + REG_QUEUE_DESC, desc);
	write64(d->base + REG_QUEUE_DRIVER, avail);
	write64(d->base + REG_QUEUE_DEVICE, used);
	mmio_write(d->base + REG_QUEUE_READY, 1);
}

bool virtio_queue(struct vdev *d, uint32_t index)
{
	struct queue *q = &d->queue[index];

	mmio_write(d->base + REG_QUEUE_SEL, index);
	if (mmio_read(d->base + REG_QUEUE_NUM_MAX) < QUEUE_LEN)
		return false;
	*q = (struct queue){.dev = d, .index = index};
	q->avail.flags = NO_INTERRUPT;
	virtio_queue_at(d, index, (uint64_t)q->desc, (uint64_t)&q->avail, (uint64_t)&q->used);
	return true;
}

void virtio_notify(const struct vdev *d, uint32_t index)
{
	mmio_write(d->base + REG_QUEUE_NOTIFY, index);
}

void virtio_start(struct vdev *d)
{
	status_add(d, STATUS_DRIVER_OK);
}

uint32_t virtio_status(const struct vdev *d)
{
	return mmio_read(d->base + REG_STATUS);
}

uint64_t virtio_config64(const struct vdev *d, uint32_t offset)
{
	uint64_t at = d->base + REG_CONFIG + offset;

	return mmio_read(at) | (uint64_t)mmio_read(at + 4) << 32;
}

/* §2.7.10: with EVENT_IDX the device names the index it waits for. */
void queue_kick(struct queue *q, uint16_t old_idx)
{
	uint16_t idx = q->avail.idx;
	bool wanted;

	barrier();
	if (q->dev->features & F_EVENT_IDX)
		wanted = (uint16_t)(idx - *(volatile uint16_t *)&q->used.avail_event - 1) <
			 (uint16_t)(idx - old_idx);
	else
		wanted = !(*(volatile uint16_t *)&q->used.flags & NO_NOTIFY);
	if (wanted)
		virtio_notify(q->dev, q->index);
}

void queue_post(struct queue *q, uint16_t head)
{
	uint16_t idx = q->avail.idx;

	q->avail.ring[idx % QUEUE_LEN] = head;
	barrier();
	*(volatile uint16_t *)&q->avail.idx = (uint16_t)(idx + 1);
	queue_kick(q, idx);
}

bool queue_take(struct queue *q, uint32_t *id, uint32_t *len)
{
	if (*(volatile uint16_t *)&q->used.idx == q->seen)
		return false;
	barrier();
	*id = q->used.ring[q->seen % QUEUE_LEN].id;
	*len = q->used.ring[q->seen % QUEUE_LEN].len;
	q->seen++;
	return true;
}

int64_t queue_request(struct queue *q, const struct seg *seg, unsigned n)
{
	bool indirect = options.indirect && q->dev->features & F_INDIRECT;
	struct desc *table = indirect ? q->indirect : q->desc;
	struct spin wait = {0};
	uint32_t id, len;

	for (unsigned i = 0; i < n; i++) {
		unsigned flags = (seg[i].write ? DESC_WRITE : 0) | (i + 1 < n ? DESC_NEXT : 0);

		table[i] =
			(struct desc){seg[i].addr, seg[i].len, (uint16_t)flags, (uint16_t)(i + 1)};
	}
	if (indirect)
		q->desc[0] = (struct desc){(uint64_t)table, n * (uint32_t)sizeof(*table),
					   DESC_INDIRECT, 0};
	queue_post(q, 0);
	while (!queue_take(q, &id, &len)) {
		if (!spin(&wait))
			return -1;
	}
	return len;
}
