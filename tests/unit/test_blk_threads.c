/* Requests to a disk of the host that does not answer: what waits for them, and what does not. The base of the
 * disk is a file that is still arriving. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <linux/virtio_blk.h>
#include <pthread.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/num.h"
#include "tests/await.h"
#include "tests/unit/arriving.h"
#include "tests/unit/fake_driver.h"

#define BYTES	MIB(1)
#define BLOCK	4096u
#define SECTORS (BLOCK / 512)
#define SLOTS	16u
#define SLOT(n) (FAKE_BUFFERS + (n)*0x4000u) /* header, status, and data behind a page */

static struct fake fake;
static struct arriving host;
static struct disk *disk;

/* Block n of the base is filled with n. */
static void start_queues(unsigned queues)
{
	struct disk_params params = {.id = "data", .size = BYTES, .scratch_dir = "/tmp"};
	struct virtio_backend backend = {.queues = queues};
	int base = memfd_create("base", MFD_CLOEXEC);
	uint8_t block[BLOCK];
	struct err err;

	for (unsigned i = 0; i < BYTES / BLOCK; i++) {
		memset(block, (int)i, sizeof(block));
		cr_assert(eq(int, (int)pwrite(base, block, BLOCK, (off_t)i * BLOCK), (int)BLOCK));
	}
	atomic_store(&host.away, true);
	arriving_begin(&host, &base, 1);
	params.raw = host.blob[0];
	params.raw.fd = dup(params.raw.fd);
	cr_assert(eq(int, disk_open(&disk, &params, &err), 0), "%s", err.text);
	backend.disk = disk;
	fake_init(&fake);
	fake_plug(&fake, VIRTIO_TYPE_BLK, "disk0", &backend);
	fake_bring_up(&fake, VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH), queues, 64);
}

static void start(void)
{
	start_queues(1);
}

static void answer_all(void)
{
	atomic_store(&host.away, false);
}

static void post_to(unsigned queue, unsigned slot, uint32_t type, uint64_t block)
{
	uint8_t *h = fake_ram(&fake, SLOT(slot), BLOCK);
	const struct fake_seg seg[] = {{SLOT(slot), 16, false},
				       {SLOT(slot) + BLOCK, BLOCK, type == VIRTIO_BLK_T_IN},
				       {SLOT(slot) + 64, 1, true}};

	le_put32(h, type);
	le_put64(h + 8, block * SECTORS);
	h[64] = 0xff;
	fake_post(&fake, queue, seg, 3);
}

static void post(unsigned slot, uint32_t type, uint64_t block)
{
	post_to(0, slot, type, block);
}

static uint8_t status_of(unsigned slot)
{
	return __atomic_load_n((uint8_t *)fake_ram(&fake, SLOT(slot) + 64, 1), __ATOMIC_ACQUIRE);
}

static uint8_t byte_of(unsigned slot)
{
	return *(uint8_t *)fake_ram(&fake, SLOT(slot) + BLOCK, 1);
}

static void notify(void)
{
	fake_write(&fake, R_QUEUE_NOTIFY, 0);
}

static unsigned pending(void)
{
	return fake_pending(&fake);
}

static void teardown(void)
{
	answer_all();
	if (fake.v != NULL)
		fake_free(&fake);
	arriving_end(&host);
}

TestSuite(blk_threads, .fini = teardown);

Test(blk_threads, others_are_served_while_one_waits)
{
	char what[64];

	start();
	post(0, VIRTIO_BLK_T_IN, 200);
	notify();
	AWAIT(pending() == 1);
	memset(fake_ram(&fake, SLOT(1) + BLOCK, BLOCK), 'w', BLOCK);
	post(1, VIRTIO_BLK_T_OUT, 5);
	post(2, VIRTIO_BLK_T_FLUSH, 0);
	notify();
	AWAIT(status_of(1) == VIRTIO_BLK_S_OK && status_of(2) == VIRTIO_BLK_S_OK);
	post(3, VIRTIO_BLK_T_IN, 5);
	notify();
	AWAIT(status_of(3) == VIRTIO_BLK_S_OK);
	cr_assert(eq(u8, byte_of(3), 'w'));
	cr_assert(eq(u8, status_of(0), 0xff));
	cr_assert_not(fake.v->dev.ops->at_rest(&fake.v->dev, what, sizeof(what)));
	cr_assert_str_eq(what, "1 request to disk0");
	answer_all();
	AWAIT(status_of(0) == VIRTIO_BLK_S_OK);
	cr_assert(eq(u8, byte_of(0), 200));
}

/* All were in the queue when it was notified once. */
Test(blk_threads, several_wait_at_a_time)
{
	start();
	for (unsigned i = 0; i < SLOTS; i++)
		post(i, VIRTIO_BLK_T_IN, 10 * i);
	notify();
	AWAIT(pending() == SLOTS);
	cr_assert(eq(uint, pending(), SLOTS));
	answer_all();
	fake_await(&fake);
	for (unsigned i = 0; i < SLOTS; i++) {
		cr_assert(eq(u8, status_of(i), VIRTIO_BLK_S_OK));
		cr_assert(eq(u8, byte_of(i), 10 * i));
	}
}

/* What is held begins nothing; what was begun is answered. */
Test(blk_threads, a_hold_waits)
{
	start();
	post(0, VIRTIO_BLK_T_IN, 1);
	notify();
	AWAIT(pending() == 1);
	pthread_mutex_lock(&fake.m.lock);
	fake.v->dev.ops->hold(&fake.v->dev, true);
	pthread_mutex_unlock(&fake.m.lock);
	post(1, VIRTIO_BLK_T_FLUSH, 0);
	notify();
	answer_all();
	AWAIT(pending() == 0);
	cr_assert(eq(u8, status_of(0), VIRTIO_BLK_S_OK));
	cr_assert(eq(u8, status_of(1), 0xff));
	cr_assert(eq(u16, fake.v->s.queue[0].next_avail, fake.v->s.queue[0].next_used));
	pthread_mutex_lock(&fake.m.lock);
	fake.v->dev.ops->hold(&fake.v->dev, false);
	pthread_mutex_unlock(&fake.m.lock);
	AWAIT(status_of(1) == VIRTIO_BLK_S_OK);
	cr_assert(eq(u8, status_of(1), VIRTIO_BLK_S_OK));
}

static void *reset_by_driver(void *opaque)
{
	fake_write(&fake, R_STATUS, 0);
	return opaque;
}

/* The buffers are the driver's again when the reset is over; meanwhile the lock is free. */
Test(blk_threads, a_reset_waits_without_the_lock)
{
	pthread_t driver;

	start();
	post(0, VIRTIO_BLK_T_IN, 7);
	notify();
	AWAIT(pending() == 1);
	cr_assert(eq(int, pthread_create(&driver, NULL, reset_by_driver, NULL), 0));
	AWAIT(fake_is_resetting(&fake));
	cr_assert(not(zero(u32, fake_read(&fake, R_STATUS))), "not yet");
	answer_all();
	pthread_join(driver, NULL);
	cr_assert(zero(u32, fake_read(&fake, R_STATUS)));
	cr_assert(eq(uint, pending(), 0));
	fake_bring_up(&fake, 0, 1, 64);
	post(1, VIRTIO_BLK_T_IN, 9);
	fake_kick(&fake, 0);
	cr_assert(eq(u8, status_of(1), VIRTIO_BLK_S_OK));
	cr_assert(eq(u8, byte_of(1), 9));
}

/* It stays until the process ends. */
static void leak_on_purpose(const void *object)
{
#ifdef __SANITIZE_ADDRESS__
	__lsan_ignore_object(object);
#else
	(void)object;
#endif
}

/* Nothing is waited for, and what the thread uses stays. */
Test(blk_threads, a_device_ends_while_the_host_does_not_answer)
{
	start();
	post(0, VIRTIO_BLK_T_IN, 7);
	notify();
	AWAIT(pending() == 1);
	fake.v->running = false;
	leak_on_purpose(fake.v);
	virtio_destroy(fake.v);
	cr_assert(fake.m.mem.in_use);
	fake.v = NULL;
	answer_all();
	AWAIT(byte_of(0) == 7);
	cr_assert(eq(u8, status_of(0), 0xff));
}

/* A request in each queue, and none is answered. */
static void start_all_queues(void)
{
	start_queues(VIRTIO_MAX_QUEUES);
	for (unsigned i = 0; i < VIRTIO_MAX_QUEUES; i++) {
		post_to(i, i, VIRTIO_BLK_T_IN, 10 * i);
		fake_write(&fake, R_QUEUE_NOTIFY, i);
	}
	AWAIT(pending() == VIRTIO_MAX_QUEUES);
	cr_assert(eq(uint, pending(), VIRTIO_MAX_QUEUES));
}

Test(blk_threads, each_queue_has_its_answers)
{
	uint32_t id, len;

	start_all_queues();
	answer_all();
	fake_await(&fake);
	for (unsigned i = 0; i < VIRTIO_MAX_QUEUES; i++) {
		cr_assert(eq(u8, byte_of(i), 10 * i));
		cr_assert(fake_used(&fake, i, &id, &len));
		cr_assert(eq(u32, len, BLOCK + 1));
		cr_assert_not(fake_used(&fake, i, &id, &len));
	}
}

/* Nothing of what was under way is in the rings that the driver sets up then. */
Test(blk_threads, a_reset_with_requests_in_all_queues)
{
	pthread_t driver;
	uint32_t id, len;

	start_all_queues();
	cr_assert(eq(int, pthread_create(&driver, NULL, reset_by_driver, NULL), 0));
	AWAIT(fake_is_resetting(&fake));
	answer_all();
	pthread_join(driver, NULL);
	cr_assert(eq(uint, pending(), 0));
	fake_bring_up(&fake, VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH), VIRTIO_MAX_QUEUES, 64);
	for (unsigned i = 0; i < VIRTIO_MAX_QUEUES; i++) {
		cr_assert_not(fake_used(&fake, i, &id, &len));
		post_to(i, i, VIRTIO_BLK_T_IN, 3 * i);
		fake_kick(&fake, i);
		cr_assert(fake_used(&fake, i, &id, &len));
		cr_assert(eq(u8, byte_of(i), 3 * i));
	}
}
