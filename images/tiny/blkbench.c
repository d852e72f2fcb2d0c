/* How fast a disk is: requests with so many of them under way, polled. The rings are larger than those of
 * virtio.c, and the driver is started anew before and behind. */
#include "images/tiny/tiny.h"

enum {
	RING = 128,
	MAX_DEPTH = 32,
	PER_REQUEST = 4
}; /* descriptors: header, data, status, and one unused */
enum { RANDOM_READ, RANDOM_WRITE, SEQUENTIAL_READ, SEQUENTIAL_WRITE, KINDS };
#define BUFFERS (16 * MIB)

static struct {
	_Alignas(PAGE) struct desc desc[RING];
	_Alignas(PAGE) struct {
		uint16_t flags, idx, ring[RING], used_event;
	} avail;
	_Alignas(PAGE) struct {
		uint16_t flags, idx;
		struct {
			uint32_t id, len;
		} ring[RING];
		uint16_t avail_event;
	} used;
	struct {
		uint32_t type, reserved;
		uint64_t sector;
	} header[MAX_DEPTH];
	volatile uint8_t status[MAX_DEPTH];
} b;

struct run {
	struct disk *disk;
	uint64_t kind, bytes, depth, count, seed;
	uint64_t begun;
};

static void prepare(const struct run *r, unsigned slot)
{
	struct desc *d = &b.desc[slot * PER_REQUEST];
	bool write = r->kind == RANDOM_WRITE || r->kind == SEQUENTIAL_WRITE;

	b.header[slot].type = write;
	d[0] = (struct desc){(uint64_t)&b.header[slot], 16, DESC_NEXT,
			     (uint16_t)(slot * PER_REQUEST + 1)};
	d[1] = (struct desc){BUFFERS + slot * r->bytes, (uint32_t)r->bytes,
			     (uint16_t)(DESC_NEXT | (write ? 0 : DESC_WRITE)),
			     (uint16_t)(slot * PER_REQUEST + 2)};
	d[2] = (struct desc){(uint64_t)&b.status[slot], 1, DESC_WRITE, 0};
}

static void begin(struct run *r, unsigned slot)
{
	uint64_t places = r->disk->sectors * SECTOR / r->bytes, place = r->begun;

	if (r->kind == RANDOM_READ || r->kind == RANDOM_WRITE)
		place = mix(r->seed ^ r->begun);
	b.header[slot].sector = place % places * (r->bytes / SECTOR);
	b.status[slot] = 0xff;
	b.avail.ring[b.avail.idx % RING] = (uint16_t)(slot * PER_REQUEST);
	barrier();
	(*(volatile uint16_t *)&b.avail.idx)++;
	r->begun++;
}

/* §2.7.10, as queue_kick(). */
static void kick(const struct run *r, uint16_t old_idx)
{
	uint16_t event = 0;

	barrier();
	if (r->disk->dev.features & F_EVENT_IDX)
		event = *(volatile uint16_t *)&b.used.avail_event;
	if (!(r->disk->dev.features & F_EVENT_IDX) ||
	    (uint16_t)(b.avail.idx - event - 1) < (uint16_t)(b.avail.idx - old_idx))
		virtio_notify(&r->disk->dev, 0);
}

/* False: one failed, or did not come. */
static bool run_all(struct run *r)
{
	uint64_t done = 0;
	uint16_t seen = 0, old_idx = 0;
	struct spin wait = {0};

	for (unsigned i = 0; i < r->depth; i++) {
		prepare(r, i);
		begin(r, i);
	}
	kick(r, old_idx);
	while (done < r->count) {
		old_idx = b.avail.idx;
		while (*(volatile uint16_t *)&b.used.idx != seen) {
			unsigned slot = b.used.ring[seen++ % RING].id / PER_REQUEST;

			if (b.status[slot])
				return false;
			done++;
			if (r->begun < r->count)
				begin(r, slot);
			wait = (struct spin){0};
		}
		if (b.avail.idx != old_idx)
			kick(r, old_idx);
		else if (!spin(&wait))
			return false;
	}
	return true;
}

static bool start(struct disk *d)
{
	if (!virtio_negotiate(&d->dev, 1ull << 9 | F_EVENT_IDX))
		return false;
	b.avail.flags = 1; /* no interrupts */
	b.avail.idx = b.used.idx = b.avail.used_event = b.used.avail_event = 0;
	virtio_queue_of(&d->dev, 0, RING, (uint64_t)b.desc, (uint64_t)&b.avail, (uint64_t)&b.used);
	virtio_start(&d->dev);
	return true;
}

/* DISK KIND BYTES DEPTH COUNT SEED */
void cmd_dbench(const char *args)
{
	uint64_t v[6], from;
	struct run r;
	bool ok;

	if (!args_get(args, 6, v) || !(r.disk = blk_disk(v[0])))
		return;
	r = (struct run){r.disk, v[1], v[2], v[3], v[4], v[5], 0};
	if (r.kind >= KINDS || r.bytes < SECTOR || r.bytes % SECTOR || !r.depth ||
	    r.depth > MAX_DEPTH || r.count < r.depth || !mem_usable(BUFFERS, r.bytes * r.depth)) {
		say("error range");
		return;
	}
	ok = start(r.disk);
	from = ticks();
	ok = ok && run_all(&r);
	from = ticks() - from;
	blk_restart(r.disk);
	if (ok)
		say("dbench %u", from);
	else
		say("dbench error");
}
