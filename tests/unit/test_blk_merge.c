/* virtio-blk: requests that lie one behind the other are one call of the disk, and still requests of their own. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <dirent.h>
#include <linux/virtio_blk.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/num.h"
#include "tests/await.h"
#include "tests/unit/arriving.h"
#include "tests/unit/fake_driver.h"

#define BLOCK	4096u
#define BLOCKS	64u
#define SLOTS	32u
#define SLOT(n) (FAKE_BUFFERS + (n)*0x4000u) /* header, status, and data behind a page */
#define HALF	(BLOCK / 2)

static struct fake fake;
static struct arriving host;
static int file; /* of a disk that is written through */

static void teardown(void)
{
	if (fake.v != NULL)
		fake_free(&fake);
	if (host.n > 0)
		arriving_end(&host);
}

TestSuite(blk_merge, .fini = teardown);

static uint8_t byte_of_block(unsigned block)
{
	return (uint8_t)(0x40 + block);
}

static int make_base(void)
{
	int fd = memfd_create("base", MFD_CLOEXEC);
	uint8_t block[BLOCK];

	for (unsigned i = 0; i < BLOCKS; i++) {
		memset(block, byte_of_block(i), sizeof(block));
		cr_assert(eq(int, (int)pwrite(fd, block, BLOCK, (off_t)i * BLOCK), (int)BLOCK));
	}
	return fd;
}

static void plug(const struct blob *raw, bool through)
{
	const struct disk_params params = {
		.id = "data",
		.size = BLOCKS * BLOCK,
		.raw = *raw,
		.through = through,
		.scratch_dir = "/tmp",
	};
	struct virtio_backend backend = {0};
	struct err err;

	cr_assert(eq(int, disk_open(&backend.disk, &params, &err), 0), "%s", err.text);
	fake_init(&fake);
	fake_plug(&fake, VIRTIO_TYPE_BLK, "disk0", &backend);
	fake_bring_up(&fake, VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH), 1, 128);
}

static void start(bool through)
{
	struct blob raw = {.fd = make_base(), .len = BLOCKS * BLOCK};

	file = raw.fd;
	plug(&raw, through);
}

static uint8_t *data_of(unsigned slot)
{
	return fake_ram(&fake, SLOT(slot) + BLOCK, BLOCK);
}

static uint8_t status_of(unsigned slot)
{
	return __atomic_load_n((uint8_t *)fake_ram(&fake, SLOT(slot) + 64, 1), __ATOMIC_ACQUIRE);
}

/* In two buffers. */
static void post(unsigned slot, bool write, unsigned block)
{
	const struct fake_seg seg[] = {{SLOT(slot), 16, false},
				       {SLOT(slot) + BLOCK, HALF, !write},
				       {SLOT(slot) + BLOCK + HALF, HALF, !write},
				       {SLOT(slot) + 64, 1, true}};
	uint8_t *h = fake_ram(&fake, SLOT(slot), BLOCK);

	le_put32(h, write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN);
	le_put64(h + 8, (uint64_t)block * BLOCK / 512);
	h[64] = 0xff;
	fake_post(&fake, 0, seg, 4);
}

static unsigned count_disk_threads(void)
{
	DIR *tasks = opendir("/proc/self/task");
	const struct dirent *task;
	unsigned n = 0;

	cr_assert_not_null(tasks);
	while ((task = readdir(tasks)) != NULL) {
		char path[300], name[16] = "";
		FILE *comm;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", task->d_name);
		comm = fopen(path, "r");
		if (comm == NULL)
			continue;
		if (fscanf(comm, "%15s", name) == 1 && strcmp(name, "disk") == 0)
			n++;
		fclose(comm);
	}
	closedir(tasks);
	return n;
}

/* Requests that are not merged wait in a thread each. */
Test(blk_merge, neighbours_wait_in_one_thread)
{
	struct blob raw;
	int base = make_base();
	uint32_t id, len;

	atomic_store(&host.away, true);
	arriving_begin(&host, &base, 1);
	raw = host.blob[0];
	raw.fd = dup(raw.fd);
	plug(&raw, false);
	for (unsigned i = 0; i < 8; i++)
		post(i, false, 20 + i);
	post(8, false, 40);
	fake_write(&fake, R_QUEUE_NOTIFY, 0);
	AWAIT(fake_pending(&fake) == 9);
	atomic_store(&host.away, false);
	fake_await(&fake);
	/* One for the eight, one for the other, and one that listens. */
	cr_assert(le(uint, count_disk_threads(), 3));
	for (unsigned i = 0; i < 9; i++) {
		cr_assert(eq(u8, status_of(i), VIRTIO_BLK_S_OK));
		cr_assert(eq(u8, data_of(i)[BLOCK - 1], byte_of_block(i < 8 ? 20 + i : 40)));
		cr_assert(fake_used(&fake, 0, &id, &len));
		cr_assert(eq(u32, len, BLOCK + 1));
	}
}

/* The file has become shorter. */
Test(blk_merge, an_error_is_that_of_its_request)
{
	start(true);
	cr_assert(eq(int, ftruncate(file, 10 * BLOCK), 0));
	for (unsigned i = 0; i < 4; i++)
		post(i, false, 8 + i);
	fake_kick(&fake, 0);
	for (unsigned i = 0; i < 4; i++)
		cr_assert(eq(u8, status_of(i), i < 2 ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR));
	cr_assert(eq(u8, data_of(0)[0], byte_of_block(8)));
	cr_assert(eq(u8, data_of(1)[HALF], byte_of_block(9)));
}

/* Reads and writes of blocks in rising order, some left out, against a model. */
static void compare_with_model(bool through)
{
	uint8_t model[BLOCKS];
	uint64_t seed = 77;
	uint32_t id, len;

	start(through);
	for (unsigned i = 0; i < BLOCKS; i++)
		model[i] = byte_of_block(i);
	for (unsigned round = 0; round < 300; round++) {
		unsigned block[SLOTS], n = 0, at = (unsigned)(fake_random(&seed) % BLOCKS);
		bool write[SLOTS], writes = false;

		for (; n < SLOTS && at < BLOCKS; at++) {
			if (fake_random(&seed) % 8 == 0)
				continue;
			if (fake_random(&seed) % 6 == 0)
				writes = !writes;
			write[n] = writes;
			block[n] = at;
			memset(data_of(n), (int)(round + n), BLOCK);
			post(n, writes, at);
			n++;
		}
		fake_kick(&fake, 0);
		for (unsigned i = 0; i < n; i++) {
			cr_assert(fake_used(&fake, 0, &id, &len));
			cr_assert(eq(u8, status_of(i), VIRTIO_BLK_S_OK));
			if (write[i])
				model[block[i]] = (uint8_t)(round + i);
			cr_assert(eq(u8, data_of(i)[0], model[block[i]]));
			cr_assert(eq(u8, data_of(i)[HALF], model[block[i]]));
		}
	}
}

Test(blk_merge, as_one_by_one_through)
{
	compare_with_model(true);
}

Test(blk_merge, as_one_by_one_layered)
{
	compare_with_model(false);
}
