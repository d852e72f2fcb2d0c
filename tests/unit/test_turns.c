/* No guest holds the lock for long: what a device does in one turn is bounded in bytes, and longer
 * requests are continued, or done again when the machine was stopped in between. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_blk.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/num.h"
#include "devices/virtio/balloon.h"
#include "tests/await.h"
#include "tests/unit/arriving.h"
#include "tests/unit/net_driver.h"

#define TURN	 MIB(4)
#define AREA	 MIB(2) /* the buffers of hostile requests: all share it */
#define AREA_LEN MIB(60)
#define TABLE	 (FAKE_BUFFERS + 0x8000)
#define STATUS	 (FAKE_BUFFERS + 0x10)
#define HEADS	 128u
#define BUFFERS	 60u
#define PAGE	 4096u

static struct disk *disk;
static struct arriving host, other_host; /* of the disks' bases */
static uint64_t put_out;		 /* by a console, or a card */

static void end_host(struct arriving *h)
{
	if (h->n == 0)
		return;
	arriving_end(h);
	h->n = 0;
}

static void teardown(void)
{
	atomic_store(&host.away, false);
	if (fake.v != NULL)
		fake_free(&fake);
	if (other.v != NULL)
		fake_free(&other);
	end_host(&host);
	end_host(&other_host);
}

TestSuite(turns, .fini = teardown);

/* A disk of 1 GiB whose base reads as 'b' in its beginning, when the host answers. */
static struct disk *make_disk(struct arriving *h)
{
	struct disk_params params = {.id = "data", .size = GIB(1), .scratch_dir = "/tmp"};
	int base = memfd_create("base", MFD_CLOEXEC);
	uint8_t block[65536];
	struct err err;

	cr_assert(eq(int, ftruncate(base, (off_t)GIB(1)), 0));
	memset(block, 'b', sizeof(block));
	for (uint64_t at = 0; at < MIB(16); at += sizeof(block))
		cr_assert(eq(int, (int)pwrite(base, block, sizeof(block), (off_t)at),
			     (int)sizeof(block)));
	atomic_store(&h->lazy, true);
	arriving_begin(h, &base, 1);
	params.raw = h->blob[0];
	params.raw.fd = dup(params.raw.fd);
	cr_assert(eq(int, disk_open(&disk, &params, &err), 0), "%s", err.text);
	return disk;
}

static void plug_blk(struct fake *f, struct arriving *h)
{
	const struct virtio_backend backend = {.disk = make_disk(h)};

	fake_init(f);
	fake_plug(f, VIRTIO_TYPE_BLK, "disk0", &backend);
}

static void start_blk(uint32_t type, uint64_t sector)
{
	uint8_t *h;

	plug_blk(&fake, &host);
	fake_bring_up(&fake, VIRTIO_INDIRECT_DESC, 1, HEADS);
	h = fake_ram(&fake, HEADER, 16);
	le_put32(h, type);
	le_put64(h + 8, sector);
	*(uint8_t *)fake_ram(&fake, STATUS, 1) = 0xff;
}

/* Every head of the queue leads to one table: a header, `n` buffers of `len` bytes, a status. */
static void post_hostile(unsigned queue, unsigned heads, bool header, unsigned n, uint32_t len,
			 bool write)
{
	struct fake_seg seg[BUFFERS + 2];
	unsigned count = 0;

	if (header)
		seg[count++] = (struct fake_seg){HEADER, 16, false};
	for (unsigned i = 0; i < n; i++)
		seg[count++] = (struct fake_seg){AREA, len, write};
	if (header)
		seg[count++] = (struct fake_seg){STATUS, 1, true};
	for (unsigned i = 0; i < heads; i++)
		fake_post_indirect(&fake, queue, TABLE, seg, count);
	fake_write(&fake, R_QUEUE_NOTIFY, queue);
}

/* How many bytes from the area's beginning on are `byte`. */
static uint64_t prefix(struct fake *f, uint8_t byte)
{
	const uint8_t *at = fake_ram(f, AREA, AREA_LEN);
	uint64_t n = 0;

	while (n < AREA_LEN && at[n] == byte)
		n++;
	return n;
}

/* One request is begun, and its first turn waits for the host; the device is held then, and the host answers. */
static void hold_in_a_turn(void)
{
	AWAIT(fake_pending(&fake) == 1);
	pthread_mutex_lock(&fake.m.lock);
	fake.v->dev.ops->hold(&fake.v->dev, true);
	pthread_mutex_unlock(&fake.m.lock);
	atomic_store(&host.away, false);
	fake_hold(&fake);
}

/* Take the device back to what it was at `saved`, as snapshot/reset.c does. */
static void take_back(struct virtio_device *v, uint8_t saved[DEVICE_MAX_PARTS][KIB(64)])
{
	const struct device_ops *ops = v->dev.ops;
	struct err err;

	fake_stop(&fake);
	cr_assert(eq(int, ops->forget(&v->dev, &err), 0), "%s", err.text);
	for (unsigned p = 0; p < v->dev.nparts; p++)
		memcpy(v->dev.part[p].state, saved[p], v->dev.part[p].table->size);
	cr_assert(eq(int, ops->loaded(&v->dev, &err), 0));
}

/* A request in flight, and what it has done so far, is gone: nobody answers it later. */
Test(turns, a_device_that_is_taken_back_forgets_what_is_in_flight)
{
	static uint8_t saved[DEVICE_MAX_PARTS][KIB(64)];
	uint32_t id, len;

	atomic_store(&host.away, true);
	start_blk(VIRTIO_BLK_T_OUT, 1);
	for (unsigned p = 0; p < fake.v->dev.nparts; p++)
		memcpy(saved[p], fake.v->dev.part[p].state, fake.v->dev.part[p].table->size);
	post_hostile(0, HEADS, true, BUFFERS, (uint32_t)MIB(16), false);
	hold_in_a_turn();
	cr_assert_not(disk_pristine(disk));
	take_back(fake.v, saved);
	cr_assert(not(fake_used(&fake, 0, &id, &len)), "of a request that goes on");
	cr_assert(disk_pristine(disk));
	cr_assert(eq(u16, fake.v->s.queue[0].next_avail, 0));
	/* The guest's memory is taken back, too. */
	memset(fake_ram(&fake, fake.q[0].avail, 4 + 2 * HEADS), 0, 4 + 2 * HEADS);
	fake_start(&fake);
	fake_await(&fake);
	cr_assert(disk_pristine(disk));
	cr_assert(not(fake_used(&fake, 0, &id, &len)));
	cr_assert(eq(u8, *(uint8_t *)fake_ram(&fake, STATUS, 1), 0xff));
}

/* 128 requests of nearly 1 GiB each: a hold waits for a turn of one. All are there as before. */
Test(turns, blk_read)
{
	uint32_t id, len;

	atomic_store(&host.away, true);
	start_blk(VIRTIO_BLK_T_IN, 0);
	post_hostile(0, HEADS, true, BUFFERS, (uint32_t)MIB(16), true);
	hold_in_a_turn();
	cr_assert(eq(u64, prefix(&fake, 'b'), TURN));
	cr_assert(not(fake_used(&fake, 0, &id, &len)));
	cr_assert(eq(u16, fake.v->s.queue[0].next_avail, 0));
}

/* The first block is read of the base, for its first sector is not written to. */
Test(turns, blk_write)
{
	uint8_t block[PAGE];

	atomic_store(&host.away, true);
	start_blk(VIRTIO_BLK_T_OUT, 1);
	memset(fake_ram(&fake, AREA, MIB(16)), 'w', MIB(16));
	post_hostile(0, HEADS, true, BUFFERS, (uint32_t)MIB(16), false);
	hold_in_a_turn();
	cr_assert(eq(u16, fake.v->s.queue[0].next_avail, 0));
	cr_assert(eq(int, disk_read(disk, TURN - PAGE, block, PAGE), 0));
	cr_assert(eq(u8, block[0], 'w'));
	cr_assert(eq(int, disk_read(disk, TURN + PAGE, block, PAGE), 0));
	cr_assert(eq(u8, block[0], 'b'), "of a request that goes on");
}

/* More than a turn: it is served alone, and to its end. */
Test(turns, blk_discard)
{
	const struct fake_seg seg[] = {{HEADER, 16, false}, {AREA, 16, false}, {STATUS, 1, true}};
	uint8_t *range, block[PAGE];
	uint32_t id, len;

	start_blk(VIRTIO_BLK_T_DISCARD, 0);
	memset(block, 'w', sizeof(block));
	cr_assert(eq(int, disk_write(disk, 0, block, PAGE), 0));
	cr_assert(eq(int, disk_write(disk, MIB(100), block, PAGE), 0));
	range = fake_ram(&fake, AREA, 16);
	le_put64(range, 0);
	le_put32(range + 8, (uint32_t)(MIB(512) / 512));
	fake_post(&fake, 0, seg, 3);
	fake_kick(&fake, 0);
	cr_assert(fake_used(&fake, 0, &id, &len));
	cr_assert(eq(u8, *(uint8_t *)fake_ram(&fake, STATUS, 1), VIRTIO_BLK_S_OK));
	cr_assert(eq(int, disk_read(disk, 0, block, PAGE), 0));
	cr_assert(eq(u8, block[0], 0));
	cr_assert(eq(int, disk_read(disk, MIB(100), block, PAGE), 0));
	cr_assert(eq(u8, block[0], 0));
}

/* Saved in the middle of a read: it is read again on the other side, whole. */
Test(turns, a_request_in_flight_moves)
{
	uint32_t id, len;
	struct err err;

	atomic_store(&host.away, true);
	start_blk(VIRTIO_BLK_T_IN, 0);
	post_hostile(0, 1, true, 1, (uint32_t)MIB(12), true);
	hold_in_a_turn();
	cr_assert_not(fake_used(&fake, 0, &id, &len));
	plug_blk(&other, &other_host);
	cr_assert(eq(int, fake_move(&fake, &other, &err), 0), "%s", err.text);
	cr_assert(fake_used(&other, 0, &id, &len));
	cr_assert(eq(u32, len, (uint32_t)MIB(12) + 1));
	cr_assert(eq(u8, *(uint8_t *)fake_ram(&other, STATUS, 1), VIRTIO_BLK_S_OK));
	cr_assert(eq(u64, prefix(&other, 'b'), MIB(12)));
	cr_assert_not(fake_used(&other, 0, &id, &len));
}

/* Paused, not saved: the same. */
Test(turns, a_request_in_flight_outlives_a_pause)
{
	uint32_t id, len;

	atomic_store(&host.away, true);
	start_blk(VIRTIO_BLK_T_IN, 0);
	post_hostile(0, 1, true, 1, (uint32_t)MIB(12), true);
	hold_in_a_turn();
	fake_stop(&fake);
	memset(fake_ram(&fake, AREA, MIB(16)), 0, MIB(16));
	fake_loop(&fake);
	cr_assert(eq(u64, prefix(&fake, 'b'), 0));
	cr_assert_not(fake_used(&fake, 0, &id, &len));
	fake_start(&fake);
	fake_await(&fake);
	cr_assert(fake_used(&fake, 0, &id, &len));
	cr_assert(eq(u64, prefix(&fake, 'b'), MIB(12)));
}

static void *reset_by_driver(void *opaque)
{
	fake_write(&fake, R_STATUS, 0);
	return opaque;
}

/* The driver takes the queue away: nothing of the request is done any more. */
Test(turns, a_reset_ends_the_request_in_flight)
{
	pthread_t driver;

	atomic_store(&host.away, true);
	start_blk(VIRTIO_BLK_T_IN, 0);
	post_hostile(0, HEADS, true, BUFFERS, (uint32_t)MIB(16), true);
	AWAIT(fake_pending(&fake) == 1);
	cr_assert(eq(int, pthread_create(&driver, NULL, reset_by_driver, NULL), 0));
	AWAIT(fake_is_resetting(&fake));
	atomic_store(&host.away, false);
	pthread_join(driver, NULL);
	cr_assert(eq(u64, prefix(&fake, 'b'), TURN));
	fake_bring_up(&fake, VIRTIO_INDIRECT_DESC, 1, HEADS);
	memset(fake_ram(&fake, AREA, MIB(16)), 0, MIB(16));
	fake_kick(&fake, 0);
	cr_assert(eq(u64, prefix(&fake, 'b'), 0));
	cr_assert(eq(u16, fake.v->s.queue[0].next_avail, 0));
	cr_assert(eq(u16, fake.v->s.queue[0].next_used, 0));
}

static void count_output(void *opaque, const uint8_t *data, size_t len)
{
	(void)opaque, (void)data;
	put_out += len;
}

Test(turns, console_output)
{
	static const struct virtio_backend none;
	uint32_t id, len;

	fake_init(&fake);
	fake_plug(&fake, VIRTIO_TYPE_CONSOLE, "console", &none);
	virtio_console_port(&fake.v->dev, 0)->output = count_output;
	fake_bring_up(&fake, VIRTIO_INDIRECT_DESC, 2, HEADS);
	put_out = 0;
	post_hostile(1, 1, false, 3, (uint32_t)MIB(3), false);
	cr_assert(eq(u64, put_out, TURN));
	cr_assert_not(fake_used(&fake, 1, &id, &len));
	for (unsigned turns = 0; turns < 3; turns++)
		fake_loop(&fake);
	cr_assert(eq(u64, put_out, MIB(9)));
	cr_assert(fake_used(&fake, 1, &id, &len));
	post_hostile(1, HEADS - 1, false, BUFFERS, (uint32_t)AREA_LEN, false);
	cr_assert(eq(u64, put_out, MIB(9) + TURN));
}

/* Buffers of no bytes take no input: they are not gone through for ever. */
Test(turns, console_input)
{
	static const struct virtio_backend none;
	const struct fake_seg empty = {AREA, 0, true};
	struct chardev *c;
	uint32_t id, len;
	unsigned used = 0;

	fake_init(&fake);
	fake_plug(&fake, VIRTIO_TYPE_CONSOLE, "console", &none);
	fake_bring_up(&fake, 0, 2, HEADS);
	c = virtio_console_port(&fake.v->dev, 0);
	for (unsigned i = 0; i < HEADS; i++)
		fake_post(&fake, 0, &empty, 1);
	cr_assert(eq(sz, c->input(c, (const uint8_t *)"x", 1), 0));
	while (fake_used(&fake, 0, &id, &len))
		used++;
	cr_assert(le(uint, used, HEADS));
}

Test(turns, rng)
{
	static const struct virtio_backend none;
	uint64_t drawn = 0;
	uint32_t id, len;

	fake_init(&fake);
	fake_plug(&fake, VIRTIO_TYPE_RNG, "rng", &none);
	fake_bring_up(&fake, VIRTIO_INDIRECT_DESC, 1, HEADS);
	post_hostile(0, HEADS, false, BUFFERS, (uint32_t)AREA_LEN, true);
	while (fake_used(&fake, 0, &id, &len))
		drawn += len;
	cr_assert(ge(u64, drawn, 1));
	cr_assert(le(u64, drawn, TURN));
}

/* 60 MiB of pages that are in use. */
static void start_balloon(void)
{
	static const struct virtio_backend none;

	fake_init(&fake);
	fake_plug(&fake, VIRTIO_TYPE_BALLOON, "balloon", &none);
	fake_bring_up(&fake, VIRTIO_INDIRECT_DESC | VIRTIO_FEATURE(VIRTIO_BALLOON_F_REPORTING), 3,
		      HEADS);
	memset(fake_ram(&fake, AREA, AREA_LEN), 'x', AREA_LEN);
}

static uint64_t discarded(void)
{
	const uint8_t *at = fake_ram(&fake, AREA, AREA_LEN);
	uint64_t n = 0;

	for (uint64_t off = 0; off < AREA_LEN; off += PAGE)
		n += at[off] == 0 ? PAGE : 0;
	return n;
}

Test(turns, balloon_inflate)
{
	const struct fake_seg seg = {FAKE_BUFFERS, 4096 * 4, false};
	uint32_t id, len;

	start_balloon();
	for (unsigned i = 0; i < 4096; i++)
		le_put32(fake_ram(&fake, FAKE_BUFFERS + 4 * i, 4), (uint32_t)(AREA / PAGE + i));
	fake_post(&fake, 0, &seg, 1);
	fake_kick(&fake, 0);
	cr_assert(eq(u64, discarded(), TURN));
	cr_assert_not(fake_used(&fake, 0, &id, &len));
	for (unsigned turns = 0; turns < 4; turns++)
		fake_loop(&fake);
	cr_assert(eq(u64, discarded(), MIB(16)));
	cr_assert(fake_used(&fake, 0, &id, &len));
}

Test(turns, balloon_report)
{
	uint32_t id, len;

	start_balloon();
	post_hostile(2, 1, false, 1, (uint32_t)MIB(10), true);
	cr_assert(eq(u64, discarded(), TURN));
	cr_assert_not(fake_used(&fake, 2, &id, &len));
	for (unsigned turns = 0; turns < 3; turns++)
		fake_loop(&fake);
	cr_assert(eq(u64, discarded(), MIB(10)));
	cr_assert(fake_used(&fake, 2, &id, &len));
	post_hostile(2, HEADS - 1, false, BUFFERS, (uint32_t)AREA_LEN, true);
	cr_assert(eq(u64, discarded(), MIB(10)), "the same pages again");
}

static int count_sent(struct net_backend *b, const struct iovec *iov, unsigned n, size_t len)
{
	(void)b, (void)iov, (void)n;
	put_out += len;
	return 0;
}

Test(turns, net_send)
{
	static struct net_backend_ops ops;
	const struct fake_seg seg[] = {{HEADER, 12, false}, {AREA, NET_FRAME_MAX, false}};

	fake_net_plug(&fake, 1);
	fake_net_connect(&net, &fake);
	ops = *net.backend.ops;
	ops.send = count_sent;
	net.backend.ops = &ops;
	fake_bring_up(&fake, ALL | VIRTIO_INDIRECT_DESC, 3, HEADS);
	memset(fake_ram(&fake, HEADER, 12), 0, 12);
	put_out = 0;
	for (unsigned i = 0; i < HEADS; i++)
		fake_post_indirect(&fake, TX, TABLE, seg, 2);
	fake_kick(&fake, TX);
	cr_assert(ge(u64, put_out, MIB(3)));
	cr_assert(le(u64, put_out, TURN + NET_MESSAGE_MAX));
}

/* A back end with more than a turn has to wait for the next one, and is called then. */
Test(turns, net_receive)
{
	uint64_t given = 0;

	fake_net_plug(&fake, 1);
	fake_net_connect(&net, &fake);
	fake_bring_up(&fake, ALL, 3, HEADS);
	for (unsigned i = 0; i < HEADS; i++)
		fake_post(&fake, RX, &(struct fake_seg){AREA, 0x20000, true}, 1);
	while (given < 2 * TURN && fake_net_give(&net, fake_net_mac, NET_MESSAGE_MAX, 1) == 0)
		given += NET_MESSAGE_MAX;
	cr_assert(ge(u64, given, MIB(3)));
	cr_assert(le(u64, given, TURN));
	cr_assert(eq(uint, net.readies, 0));
	fake_loop(&fake);
	cr_assert(eq(uint, net.readies, 1));
	cr_assert(eq(int, fake_net_give(&net, fake_net_mac, NET_MESSAGE_MAX, 1), 0));
}

static bool is_resident(uint64_t gpa)
{
	unsigned char in_core = 0xff;

	cr_assert(eq(int, mincore(fake_ram(&fake, gpa, PAGE), PAGE, &in_core), 0));
	return (in_core & 1) != 0;
}

/* A list of addresses in nearly 4 GiB of buffers is not read to its end. */
Test(turns, net_control)
{
	const uint32_t entries = (uint32_t)(UINT32_MAX / 6 - MIB(10));
	struct fake_seg seg[80] = {{HEADER, 2, false}, {HEADER + 0x20, 4, false}};
	unsigned n = 2;

	fake_net_plug(&fake, 1);
	fake_net_connect(&net, &fake);
	fake_bring_up(&fake, ALL | VIRTIO_INDIRECT_DESC, 3, HEADS);
	memcpy(fake_ram(&fake, HEADER, 2),
	       (uint8_t[]){VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET}, 2);
	le_put32(fake_ram(&fake, HEADER + 0x20, 4), entries);
	for (uint64_t left = (uint64_t)entries * 6; left > 0; n++) {
		uint32_t part = (uint32_t)u64_min(left, AREA_LEN + MIB(1));

		seg[n] = (struct fake_seg){MIB(1), part, false};
		left -= part;
	}
	memset(fake_ram(&fake, HEADER + 0x40, 4), 0, 4);
	seg[n++] = (struct fake_seg){HEADER + 0x40, 4, false};
	seg[n++] = (struct fake_seg){STATUS, 1, true};
	cr_assert(le(uint, n, ARRAY_SIZE(seg)));
	*(uint8_t *)fake_ram(&fake, STATUS, 1) = 0xff;
	fake_post_indirect(&fake, CTRL, TABLE, seg, n);
	cr_assert_not(is_resident(MIB(40)));
	fake_kick(&fake, CTRL);
	cr_assert(eq(u8, *(uint8_t *)fake_ram(&fake, STATUS, 1), VIRTIO_NET_OK));
	cr_assert_not(is_resident(MIB(40)), "it was read");
}
