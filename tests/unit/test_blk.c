/* virtio-blk requests from a guest's driver (virtio 1.2 §5.2). */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <linux/virtio_blk.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/num.h"
#include "tests/unit/fake_driver.h"

#define SECTORS 256u
#define HEADER	FAKE_BUFFERS
#define STATUS	(FAKE_BUFFERS + 0x100)
#define DATA	(FAKE_BUFFERS + 0x1000)
#define TABLE	(FAKE_BUFFERS + 0x800)

static struct fake fake;

/* Sector n of the base is filled with n. */
static struct disk *make_disk(bool readonly)
{
	struct disk_params params = {
		.id = "web-data",
		.readonly = readonly,
		.size = SECTORS * 512,
		.raw = {.fd = memfd_create("base", MFD_CLOEXEC), .len = SECTORS * 512},
		.scratch_dir = "/tmp",
	};
	struct disk *disk = NULL;
	struct err err;

	for (unsigned i = 0; i < SECTORS; i++) {
		uint8_t sector[512];

		memset(sector, (int)i, sizeof(sector));
		cr_assert(eq(int, (int)pwrite(params.raw.fd, sector, 512, 512 * i), 512));
	}
	cr_assert(eq(int, disk_open(&disk, &params, &err), 0), "%s", err.text);
	return disk;
}

static void plug(struct fake *f, bool readonly)
{
	struct virtio_backend backend = {.disk = make_disk(readonly)};

	fake_init(f);
	fake_plug(f, VIRTIO_TYPE_BLK, "disk0", &backend);
}

static void start(bool readonly)
{
	plug(&fake, readonly);
	fake_bring_up(&fake, VIRTIO_INDIRECT_DESC, 1, 64);
}

static void teardown(void)
{
	if (fake.v != NULL)
		fake_free(&fake);
}

TestSuite(blk, .fini = teardown);

static void put_header(uint32_t type, uint64_t sector)
{
	uint8_t *h = fake_ram(&fake, HEADER, 16);

	le_put32(h, type);
	le_put32(h + 4, 0);
	le_put64(h + 8, sector);
	*(uint8_t *)fake_ram(&fake, STATUS, 1) = 0xff;
}

/* One request with `len` bytes of data at DATA; returns the status, and the used length in
 * *used. */
static uint8_t request(uint32_t type, uint64_t sector, uint32_t len, bool to_guest, uint32_t *used)
{
	struct fake_seg seg[3] = {{HEADER, 16, false}};
	unsigned n = 1;
	uint32_t id, ignored;

	put_header(type, sector);
	if (len > 0)
		seg[n++] = (struct fake_seg){DATA, len, to_guest};
	seg[n++] = (struct fake_seg){STATUS, 1, true};
	fake_post(&fake, 0, seg, n);
	fake_kick(&fake, 0);
	cr_assert(fake_used(&fake, 0, &id, used != NULL ? used : &ignored));
	return *(uint8_t *)fake_ram(&fake, STATUS, 1);
}

static uint8_t *data(void)
{
	return fake_ram(&fake, DATA, SECTORS * 512);
}

static uint32_t config32(unsigned off)
{
	return fake_read(&fake, R_CONFIG + off);
}

/* A buffer in memory whose file was truncated is no fault of the disk. */
Test(blk, lost_memory_breaks_the_machine)
{
	const uint64_t frame = FAKE_RAM - FRAME_SIZE;
	struct blob file = {.fd = memfd_create("memory", MFD_CLOEXEC), .len = FRAME_SIZE};
	struct fake_seg seg[] = {{HEADER, 16, false}, {frame, 4096, false}, {STATUS, 1, true}};
	struct err err = {0};

	start(false);
	fake.m.request_fd = -1;
	cr_assert(eq(int, ftruncate(file.fd, FRAME_SIZE), 0));
	cr_assert(eq(int, mem_map_file(&fake.m.mem, 0, frame, &file, &err), 0), "%s", err.text);
	cr_assert(eq(int, ftruncate(file.fd, 0), 0));
	put_header(VIRTIO_BLK_T_OUT, 8); /* a whole block: write(2) reads the buffer */
	fake_post(&fake, 0, seg, 3);
	fake_kick(&fake, 0);
	cr_assert(machine_is_broken(&fake.m));
	cr_assert(strstr(fake.m.failure.text, "memory") != NULL);
	cr_assert(strstr(fake.m.failure.text, "was truncated") != NULL, "%s", fake.m.failure.text);
}

Test(blk, configuration)
{
	start(false);
	cr_assert(eq(u32, config32(0), SECTORS));
	cr_assert(eq(u32, config32(4), 0));
	cr_assert(eq(u32, config32(offsetof(struct virtio_blk_config, seg_max)), 126));
	cr_assert(eq(u32, config32(offsetof(struct virtio_blk_config, blk_size)), 512));
	cr_assert(eq(u32, config32(0xf0), 0));
	cr_assert(not(zero(u64, fake.v->offered & VIRTIO_FEATURE(VIRTIO_BLK_F_DISCARD))));
}

Test(blk, a_read_only_disk_says_so)
{
	start(true);
	cr_assert(not(zero(u64, fake.v->offered & VIRTIO_FEATURE(VIRTIO_BLK_F_RO))));
	cr_assert(zero(u64, fake.v->offered & VIRTIO_FEATURE(VIRTIO_BLK_F_DISCARD)));
	cr_assert(eq(u8, request(VIRTIO_BLK_T_OUT, 0, 512, false, NULL), VIRTIO_BLK_S_IOERR));
	cr_assert(eq(u8, request(VIRTIO_BLK_T_DISCARD, 0, 16, false, NULL), VIRTIO_BLK_S_UNSUPP));
	cr_assert(eq(u8, request(VIRTIO_BLK_T_IN, 7, 512, true, NULL), VIRTIO_BLK_S_OK));
	cr_assert(eq(u8, data()[0], 7));
}

Test(blk, reads_and_writes)
{
	uint32_t used;

	start(false);
	cr_assert(eq(u8, request(VIRTIO_BLK_T_IN, 3, 1024, true, &used), VIRTIO_BLK_S_OK));
	cr_assert(eq(u32, used, 1025));
	cr_assert(eq(u8, data()[0], 3));
	cr_assert(eq(u8, data()[1023], 4));
	memset(data(), 0xee, 512);
	cr_assert(eq(u8, request(VIRTIO_BLK_T_OUT, 4, 512, false, &used), VIRTIO_BLK_S_OK));
	cr_assert(eq(u32, used, 1));
	cr_assert(eq(u8, request(VIRTIO_BLK_T_FLUSH, 0, 0, false, NULL), VIRTIO_BLK_S_OK));
	cr_assert(eq(u8, request(VIRTIO_BLK_T_IN, 3, 1536, true, NULL), VIRTIO_BLK_S_OK));
	cr_assert(eq(u8, data()[511], 3));
	cr_assert(eq(u8, data()[512], 0xee));
	cr_assert(eq(u8, data()[1024], 5));
}

Test(blk, any_framing_will_do)
{
	/* Header in three pieces, data odd, status in the same buffer (virtio 1.2 §2.7.4.1). */
	struct fake_seg seg[] = {{HEADER, 3, false},
				 {HEADER + 3, 5, false},
				 {HEADER + 8, 8, false},
				 {DATA, 100, true},
				 {DATA + 100, 413, true}};
	uint32_t id, len;

	start(false);
	put_header(VIRTIO_BLK_T_IN, 9);
	fake_post_indirect(&fake, 0, TABLE, seg, 5);
	fake_kick(&fake, 0);
	cr_assert(fake_used(&fake, 0, &id, &len));
	cr_assert(eq(u32, len, 513));
	cr_assert(eq(u8, data()[0], 9));
	cr_assert(eq(u8, data()[511], 9));
	cr_assert(eq(u8, data()[512], VIRTIO_BLK_S_OK));
}

Test(blk, ranges_are_checked)
{
	start(false);
	cr_assert(eq(u8, request(VIRTIO_BLK_T_IN, SECTORS - 1, 512, true, NULL), VIRTIO_BLK_S_OK));
	cr_assert(eq(u8, request(VIRTIO_BLK_T_IN, SECTORS, 512, true, NULL), VIRTIO_BLK_S_IOERR));
	cr_assert(eq(u8, request(VIRTIO_BLK_T_IN, SECTORS - 1, 1024, true, NULL),
		     VIRTIO_BLK_S_IOERR));
	cr_assert(
		eq(u8, request(VIRTIO_BLK_T_IN, UINT64_MAX, 512, true, NULL), VIRTIO_BLK_S_IOERR));
	cr_assert(eq(u8, request(VIRTIO_BLK_T_OUT, UINT64_MAX / 512, 1024, false, NULL),
		     VIRTIO_BLK_S_IOERR));
	cr_assert(eq(u8, request(VIRTIO_BLK_T_IN, 0, 100, true, NULL), VIRTIO_BLK_S_IOERR));
	cr_assert(eq(u8, request(VIRTIO_BLK_T_OUT, 0, 100, false, NULL), VIRTIO_BLK_S_IOERR));
}

Test(blk, unknown_requests_are_unsupported)
{
	start(false);
	cr_assert(eq(u8, request(99, 0, 0, false, NULL), VIRTIO_BLK_S_UNSUPP));
	cr_assert(eq(u8, request(10, 0, 512, true, NULL), VIRTIO_BLK_S_UNSUPP));
}

Test(blk, gives_its_id)
{
	uint32_t used;

	start(false);
	cr_assert(eq(u8, request(VIRTIO_BLK_T_GET_ID, 0, 20, true, &used), VIRTIO_BLK_S_OK));
	cr_assert(eq(u32, used, 21));
	cr_assert(eq(int, memcmp(data(), "web-data\0\0\0\0\0\0\0\0\0\0\0\0", 20), 0));
	cr_assert(eq(u8, request(VIRTIO_BLK_T_GET_ID, 0, 8, true, NULL), VIRTIO_BLK_S_IOERR));
}

static void put_range(unsigned index, uint64_t sector, uint32_t count, uint32_t flags)
{
	uint8_t *r = data() + 16 * index;

	le_put64(r, sector);
	le_put32(r + 8, count);
	le_put32(r + 12, flags);
}

static uint8_t sector_byte(uint64_t sector)
{
	cr_assert(eq(u8, request(VIRTIO_BLK_T_IN, sector, 512, true, NULL), VIRTIO_BLK_S_OK));
	return data()[0];
}

Test(blk, discards_and_writes_zeroes)
{
	start(false);
	put_range(0, 8, 16, 0);
	put_range(1, 101, 1, 0);
	cr_assert(eq(u8, request(VIRTIO_BLK_T_DISCARD, 0, 32, false, NULL), VIRTIO_BLK_S_OK));
	cr_assert(eq(u8, sector_byte(7), 7));
	cr_assert(eq(u8, sector_byte(8), 0));
	cr_assert(eq(u8, sector_byte(23), 0));
	cr_assert(eq(u8, sector_byte(24), 24));
	cr_assert(eq(u8, sector_byte(101), 0));
	put_range(0, 30, 3, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP);
	cr_assert(eq(u8, request(VIRTIO_BLK_T_WRITE_ZEROES, 0, 16, false, NULL), VIRTIO_BLK_S_OK));
	cr_assert(eq(u8, sector_byte(29), 29));
	cr_assert(eq(u8, sector_byte(32), 0));
	cr_assert(eq(u8, sector_byte(33), 33));
}

Test(blk, bad_discards)
{
	start(false);
	put_range(0, 0, 1, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP);
	cr_assert(eq(u8, request(VIRTIO_BLK_T_DISCARD, 0, 16, false, NULL), VIRTIO_BLK_S_UNSUPP));
	put_range(0, 0, 1, 2);
	cr_assert(eq(u8, request(VIRTIO_BLK_T_WRITE_ZEROES, 0, 16, false, NULL),
		     VIRTIO_BLK_S_UNSUPP));
	put_range(0, SECTORS, 1, 0);
	cr_assert(eq(u8, request(VIRTIO_BLK_T_DISCARD, 0, 16, false, NULL), VIRTIO_BLK_S_IOERR));
	put_range(0, UINT64_MAX, 2, 0);
	cr_assert(eq(u8, request(VIRTIO_BLK_T_DISCARD, 0, 16, false, NULL), VIRTIO_BLK_S_IOERR));
	put_range(0, 0, UINT32_MAX, 0);
	cr_assert(eq(u8, request(VIRTIO_BLK_T_DISCARD, 0, 16, false, NULL), VIRTIO_BLK_S_IOERR));
	cr_assert(eq(u8, request(VIRTIO_BLK_T_DISCARD, 0, 0, false, NULL), VIRTIO_BLK_S_IOERR));
	cr_assert(eq(u8, request(VIRTIO_BLK_T_DISCARD, 0, 15, false, NULL), VIRTIO_BLK_S_IOERR));
	cr_assert(
		eq(u8, request(VIRTIO_BLK_T_DISCARD, 0, 17 * 16, false, NULL), VIRTIO_BLK_S_IOERR));
	cr_assert(eq(u8, sector_byte(1), 1), "nothing happened");
}

Test(blk, a_request_without_status_needs_a_reset)
{
	struct fake_seg seg = {HEADER, 16, false};
	uint32_t id, len;

	start(false);
	put_header(VIRTIO_BLK_T_FLUSH, 0);
	fake_post(&fake, 0, &seg, 1);
	fake_kick(&fake, 0);
	cr_assert(not(fake_used(&fake, 0, &id, &len)));
	cr_assert(not(zero(u32, fake_read(&fake, R_STATUS) & VIRTIO_NEEDS_RESET)));
	fake_bring_up(&fake, 0, 1, 64);
	cr_assert(eq(u8, sector_byte(5), 5));
}

Test(blk, a_short_header_needs_a_reset)
{
	struct fake_seg seg[] = {{HEADER, 15, false}, {STATUS, 1, true}};

	start(false);
	fake_post(&fake, 0, seg, 2);
	fake_kick(&fake, 0);
	cr_assert(not(zero(u32, fake_read(&fake, R_STATUS) & VIRTIO_NEEDS_RESET)));
}

/* Quiet, but with a request in the ring, the device moves; the other one answers. */
Test(blk, moves_in_mid_operation)
{
	struct fake_seg seg[] = {{HEADER, 16, false}, {DATA, 512, true}, {STATUS, 1, true}};
	struct fake other;
	struct err err;
	uint32_t id, len;

	start(false);
	for (uint64_t i = 0; i < 100; i++)
		cr_assert(eq(u8, sector_byte(i), (uint8_t)i));
	fake_stop(&fake);
	put_header(VIRTIO_BLK_T_IN, 77);
	fake_post(&fake, 0, seg, 3);
	fake_kick(&fake, 0);
	cr_assert(not(fake_used(&fake, 0, &id, &len)));
	plug(&other, false);
	cr_assert(eq(int, fake_move(&fake, &other, &err), 0), "%s", err.text);
	cr_assert(fake_used(&other, 0, &id, &len));
	cr_assert(eq(u32, len, 513));
	cr_assert(eq(u8, *(uint8_t *)fake_ram(&other, DATA, 1), 77));
	cr_assert(eq(u8, *(uint8_t *)fake_ram(&other, STATUS, 1), VIRTIO_BLK_S_OK));
	fake_free(&other);
}

/* State bytes flipped on the way are refused, or make a device that a guest could have had: it
 * serves what it finds in memory, or needs a reset, but touches nothing else. */
Test(blk, damaged_state_is_refused_or_harmless)
{
	struct fake_seg seg[] = {{HEADER, 16, false}, {DATA, 512, true}, {STATUS, 1, true}};
	uint64_t seed = 42, refused = 0, taken = 0;
	struct fake other;
	struct err err;

	start(false);
	for (uint64_t i = 0; i < 5; i++)
		sector_byte(i);
	fake_stop(&fake);
	put_header(VIRTIO_BLK_T_IN, 77);
	fake_post(&fake, 0, seg, 3);
	plug(&other, false);
	for (unsigned round = 0; round < 20000; round++) {
		if (fake_move_damaged(&fake, &other, &seed, &err) < 0)
			refused++;
		else
			taken++;
		fake_stop(&other);
		fake_reset(&other);
	}
	cr_assert(ge(u64, refused, 1001));
	cr_assert(ge(u64, taken, 1001));
	fake_free(&other);
}

Test(blk, does_not_wake_on_another_disk)
{
	struct fake other;
	struct err err;

	start(false);
	plug(&other, true);
	cr_assert(lt(int, fake_move(&fake, &other, &err), 0));
	cr_assert(eq(int, err.kind, ERR_INCOMPATIBLE));
	fake_free(&other);
}
