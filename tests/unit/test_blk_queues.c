/* virtio-blk with a queue for each vCPU (virtio 1.2 §5.2.3): what the driver is offered, that state of another
 * number is refused, and rings that are nonsense while threads serve them. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <linux/virtio_blk.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/num.h"
#include "tests/unit/fake_driver.h"

#define SECTORS	   64u
#define HEADER(q)  (FAKE_BUFFERS + (q)*0x1000u)
#define DATA(q)	   (HEADER(q) + 0x200u)
#define STATUS(q)  (HEADER(q) + 0x100u)
#define NUM_QUEUES 34u /* its place in the configuration space (§5.2.4) */

static struct fake fake;

/* Sector n is filled with n. */
static void plug(struct fake *f, unsigned queues)
{
	struct disk_params params = {
		.id = "data",
		.size = SECTORS * 512,
		.raw = {.fd = memfd_create("base", MFD_CLOEXEC), .len = SECTORS * 512},
		.scratch_dir = "/tmp",
	};
	struct virtio_backend backend = {.queues = queues};
	uint8_t sector[512];
	struct err err;

	for (unsigned i = 0; i < SECTORS; i++) {
		memset(sector, (int)i, sizeof(sector));
		cr_assert(eq(int, (int)pwrite(params.raw.fd, sector, 512, 512 * i), 512));
	}
	cr_assert(eq(int, disk_open(&backend.disk, &params, &err), 0), "%s", err.text);
	fake_init(f);
	fake_plug(f, VIRTIO_TYPE_BLK, "disk0", &backend);
}

static void teardown(void)
{
	if (fake.v != NULL)
		fake_free(&fake);
}

TestSuite(blk_queues, .fini = teardown);

static void post(struct fake *f, unsigned queue, uint64_t sector)
{
	const struct fake_seg seg[] = {
		{HEADER(queue), 16, false}, {DATA(queue), 512, true}, {STATUS(queue), 1, true}};
	uint8_t *h = fake_ram(f, HEADER(queue), 16);

	le_put32(h, VIRTIO_BLK_T_IN);
	le_put64(h + 8, sector);
	fake_post(f, queue, seg, 3);
}

static uint64_t offered(void)
{
	fake_write(&fake, R_DEVICE_FEATURES_SEL, 0);
	return fake_read(&fake, R_DEVICE_FEATURES);
}

Test(blk_queues, are_offered)
{
	plug(&fake, VIRTIO_MAX_QUEUES);
	cr_assert(not(zero(u64, offered() & VIRTIO_FEATURE(VIRTIO_BLK_F_MQ))));
	cr_assert(eq(u32, fake_read(&fake, R_CONFIG + NUM_QUEUES) & 0xffff, VIRTIO_MAX_QUEUES));
	fake_write(&fake, R_QUEUE_SEL, VIRTIO_MAX_QUEUES - 1);
	cr_assert(not(zero(u32, fake_read(&fake, R_QUEUE_NUM_MAX))));
}

Test(blk_queues, are_not_offered_where_there_is_one)
{
	plug(&fake, 1);
	cr_assert(zero(u64, offered() & VIRTIO_FEATURE(VIRTIO_BLK_F_MQ)));
	fake_write(&fake, R_QUEUE_SEL, 1);
	cr_assert(zero(u32, fake_read(&fake, R_QUEUE_NUM_MAX)));
}

/* A request in each of them is there when the machine wakes. */
Test(blk_queues, move)
{
	struct fake other;
	struct err err;
	uint32_t id, len;

	plug(&fake, 4);
	fake_bring_up(&fake, VIRTIO_FEATURE(VIRTIO_BLK_F_MQ), 4, 64);
	fake_stop(&fake);
	for (unsigned i = 0; i < 4; i++)
		post(&fake, i, 5 + i);
	plug(&other, 4);
	cr_assert(eq(int, fake_move(&fake, &other, &err), 0), "%s", err.text);
	for (unsigned i = 0; i < 4; i++) {
		cr_assert(fake_used(&other, i, &id, &len));
		cr_assert(eq(u8, *(uint8_t *)fake_ram(&other, DATA(i), 1), 5 + i));
	}
	fake_free(&other);
}

Test(blk_queues, of_another_number_are_refused)
{
	struct fake other;
	struct err err;

	plug(&fake, 1);
	fake_bring_up(&fake, 0, 1, 64);
	plug(&other, 4);
	cr_assert(lt(int, fake_move(&fake, &other, &err), 0));
	cr_assert(eq(int, err.kind, ERR_INCOMPATIBLE));
	fake_free(&other);
}

/* --- nonsense --- */

#define DRIVERS 4u
#define ROUNDS	3000u

/* What a driver may write over: queues and buffers. */
#define PLAY_BEGIN FAKE_QUEUES
#define PLAY_END   (FAKE_BUFFERS + VIRTIO_MAX_QUEUES * 0x1000u)

static void scribble(uint8_t *play, uint64_t *seed)
{
	const uint64_t at = fake_random(seed) % (PLAY_END - PLAY_BEGIN - 8);
	uint64_t value = fake_random(seed);

	/* Often something that looks right: an address, a small number. */
	if (value % 3 == 0)
		value = PLAY_BEGIN + value / 3 % (PLAY_END - PLAY_BEGIN);
	else if (value % 3 == 1)
		value = value / 3 % 64;
	memcpy(play + (at & ~7ull), &value, sizeof(value));
}

/* A vCPU that posts requests, writes over anything, and sets the device up anew now and then. Its rings are
 * those of all the others. */
__attribute__((no_sanitize("thread"))) static void *driver_main(void *opaque)
{
	uint64_t seed = 0x9e3779b97f4a7c15 * (1 + (uintptr_t)opaque);
	uint8_t *play = fake_ram(&fake, PLAY_BEGIN, PLAY_END - PLAY_BEGIN);

	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < 8; i++)
			scribble(play, &seed);
		fake_write(&fake, R_QUEUE_NOTIFY,
			   (uint32_t)(fake_random(&seed) % VIRTIO_MAX_QUEUES));
		if (fake_random(&seed) % 64 == 0) {
			fake_write(&fake, R_QUEUE_SEL,
				   (uint32_t)(fake_random(&seed) % VIRTIO_MAX_QUEUES));
			fake_write(&fake, R_QUEUE_READY, (uint32_t)(fake_random(&seed) % 2));
		}
	}
	return NULL;
}

static void *reset_main(void *opaque)
{
	for (unsigned round = 0; round < ROUNDS / 10; round++) {
		fake_bring_up(&fake, VIRTIO_FEATURE(VIRTIO_BLK_F_MQ), VIRTIO_MAX_QUEUES, 64);
		for (unsigned i = 0; i < VIRTIO_MAX_QUEUES; i++)
			post(&fake, i, i);
		for (unsigned i = 0; i < VIRTIO_MAX_QUEUES; i++)
			fake_write(&fake, R_QUEUE_NOTIFY, i);
	}
	return opaque;
}

/* The sanitizer build watches; behind it the device serves a driver that keeps to the rules. */
Test(blk_queues, nonsense_in_all_of_them)
{
	pthread_t driver[DRIVERS + 1];
	uint32_t id, len;

	plug(&fake, VIRTIO_MAX_QUEUES);
	for (uintptr_t i = 0; i < DRIVERS; i++)
		cr_assert(eq(int, pthread_create(&driver[i], NULL, driver_main, (void *)i), 0));
	cr_assert(eq(int, pthread_create(&driver[DRIVERS], NULL, reset_main, NULL), 0));
	for (unsigned i = 0; i <= DRIVERS; i++)
		pthread_join(driver[i], NULL);
	fake_bring_up(&fake, VIRTIO_FEATURE(VIRTIO_BLK_F_MQ), VIRTIO_MAX_QUEUES, 64);
	for (unsigned i = 0; i < VIRTIO_MAX_QUEUES; i++) {
		post(&fake, i, i);
		fake_kick(&fake, i);
		cr_assert(fake_used(&fake, i, &id, &len));
		cr_assert(eq(u32, len, 513));
	}
}
