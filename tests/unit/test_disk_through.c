/* Disks that are written through: what reaches the file, how it is locked, and by what digest it is known. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/num.h"
#include "devices/disk.h"
#include "devices/disk_raw.h"
#include "format/image/disk_digest.h"
#include "tests/unit/fake_driver.h"
#include "volume/disk_file.h"
#include "volume/disk_lock.h"

#define SIZE MIB(4)

static char path[] = "/tmp/torpor-disk-XXXXXX";

static int make_file(uint64_t size)
{
	int fd = mkstemp(path);

	cr_assert(ge(int, fd, 0));
	cr_assert(eq(int, ftruncate(fd, (off_t)size), 0));
	return fd;
}

static void remove_file(void)
{
	unlink(path);
}

TestSuite(disk_through, .fini = remove_file);

static struct disk *open_through(int fd, uint64_t size)
{
	struct disk_params params = {
		.id = "data",
		.through = true,
		.size = size,
		.raw = {.fd = fd, .len = size},
		.path = path,
		.scratch_dir = "/nowhere", /* it needs none */
	};
	struct disk *disk = NULL;
	struct err err;

	cr_assert(eq(int, disk_open(&disk, &params, &err), 0), "%s", err.text);
	return disk;
}

static uint64_t blocks(int fd)
{
	struct stat st;

	cr_assert(eq(int, fstat(fd, &st), 0));
	return (uint64_t)st.st_blocks;
}

Test(disk_through, what_is_written_is_in_the_file_and_stays_there)
{
	int fd = make_file(SIZE), other = open(path, O_RDONLY);
	struct disk *disk = open_through(fd, SIZE);
	uint8_t data[1500], seen[1500];
	uint32_t counts[DISK_PARTS];
	struct err err;

	memset(data, 7, sizeof(data));
	cr_assert(eq(int, disk_write(disk, 5000, data, sizeof(data)), 0));
	cr_assert(eq(int, (int)pread(other, seen, sizeof(seen), 5000), sizeof(seen)));
	cr_assert_arr_eq(seen, data, sizeof(seen));
	cr_assert(eq(int, disk_flush(disk), 0));
	cr_assert(eq(int, disk_through_fd(disk), fd));
	cr_assert(zero(u64, disk_scratch_bytes(disk)));
	/* It is its own doing. */
	cr_assert(eq(int, disk_check_base(disk, &err), 0));
	cr_assert(eq(int, disk_drop_changes(disk, &err), -EOPNOTSUPP));
	disk_count_changes(disk, counts);
	for (unsigned i = 0; i < DISK_PARTS; i++)
		cr_assert(zero(u32, counts[i]));
	disk_close(disk);
	cr_assert(eq(int, (int)pread(other, seen, sizeof(seen), 5000), sizeof(seen)));
	cr_assert_arr_eq(seen, data, sizeof(seen));
	close(other);
}

Test(disk_through, discard_frees_and_zeroing_keeps_the_space)
{
	int fd = make_file(SIZE);
	struct disk *disk = open_through(fd, SIZE);
	uint8_t *data = malloc(SIZE), byte;
	uint64_t full;

	memset(data, 7, SIZE);
	cr_assert(eq(int, disk_write(disk, 0, data, SIZE), 0));
	cr_assert(eq(int, disk_flush(disk), 0));
	full = blocks(fd);
	cr_assert(eq(int, disk_zero(disk, MIB(1) + 512, MIB(1), false), 0));
	cr_assert(eq(int, disk_read(disk, MIB(1) + 600, &byte, 1), 0));
	cr_assert(zero(u8, byte));
	cr_assert(eq(int, disk_read(disk, MIB(1) + 511, &byte, 1), 0));
	cr_assert(eq(u8, byte, 7));
	cr_assert(eq(int, disk_flush(disk), 0));
	cr_assert(ge(u64, blocks(fd) + 16, full));
	cr_assert(eq(int, disk_zero(disk, MIB(1), MIB(2), true), 0));
	cr_assert(eq(int, disk_read(disk, MIB(2), &byte, 1), 0));
	cr_assert(zero(u8, byte));
	cr_assert(lt(u64, blocks(fd), full));
	free(data);
	disk_close(disk);
}

Test(disk_through, a_flush_that_failed_is_not_forgotten)
{
	atomic_bool failed = false;
	int ends[2], fd = make_file(SIZE);

	cr_assert(eq(int, pipe(ends), 0));
	cr_assert(eq(int, raw_flush(fd, &failed), 0));
	cr_assert(eq(int, raw_flush(ends[1], &failed), -EINVAL));
	cr_assert(eq(int, raw_flush(fd, &failed), -EIO));
	close(fd);
}

/* ---- as a guest sees it ---- */

#define HEADER FAKE_BUFFERS
#define STATUS (FAKE_BUFFERS + 0x100)
#define DATA   (FAKE_BUFFERS + 0x1000)

static struct fake fake;

static uint8_t request(uint32_t type, uint32_t len, bool to_guest)
{
	struct fake_seg seg[3] = {{HEADER, 16, false}};
	uint8_t *header = fake_ram(&fake, HEADER, 16);
	unsigned n = 1;
	uint32_t id, used;

	memset(header, 0, 16);
	le_put32(header, type);
	*(uint8_t *)fake_ram(&fake, STATUS, 1) = 0xff;
	if (len > 0)
		seg[n++] = (struct fake_seg){DATA, len, to_guest};
	seg[n++] = (struct fake_seg){STATUS, 1, true};
	fake_post(&fake, 0, seg, n);
	fake_kick(&fake, 0);
	cr_assert(fake_used(&fake, 0, &id, &used));
	return *(uint8_t *)fake_ram(&fake, STATUS, 1);
}

/* /dev/full takes no byte, and cannot be flushed. */
Test(disk_through, a_full_disk_is_an_error_of_the_request)
{
	struct virtio_backend backend = {
		.disk = open_through(open("/dev/full", O_RDWR | O_CLOEXEC), SIZE)};

	fake_init(&fake);
	fake_plug(&fake, VIRTIO_TYPE_BLK, "data", &backend);
	fake_bring_up(&fake, VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH), 1, 64);
	cr_assert(eq(u8, request(VIRTIO_BLK_T_OUT, 4096, false), VIRTIO_BLK_S_IOERR));
	cr_assert(eq(u8, request(VIRTIO_BLK_T_IN, 4096, true), VIRTIO_BLK_S_OK));
	cr_assert(eq(u8, request(VIRTIO_BLK_T_FLUSH, 0, false), VIRTIO_BLK_S_IOERR));
	cr_assert(not(machine_is_broken(&fake.m)));
	fake_free(&fake);
}

/* A zero device takes all bytes, and cannot be flushed: so it shows who flushes. */
static uint8_t write_to_unflushable(uint64_t features)
{
	struct virtio_backend backend = {
		.disk = open_through(open("/dev/null", O_RDWR | O_CLOEXEC), SIZE)};
	uint8_t status;

	fake_init(&fake);
	fake_plug(&fake, VIRTIO_TYPE_BLK, "data", &backend);
	fake_bring_up(&fake, features, 1, 64);
	status = request(VIRTIO_BLK_T_OUT, 4096, false);
	fake_free(&fake);
	return status;
}

Test(disk_through, a_driver_that_cannot_flush_has_each_write_flushed)
{
	cr_assert(
		eq(u8, write_to_unflushable(VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH)), VIRTIO_BLK_S_OK));
	cr_assert(eq(u8, write_to_unflushable(0), VIRTIO_BLK_S_IOERR));
}

/* ---- locks ---- */

static int open_again(bool write)
{
	return open(path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC);
}

Test(disk_through, one_writer_or_readers_that_share)
{
	static const struct {
		bool write, share, other_write, other_share;
		int ret;
	} cases[] = {
		{true, true, true, true, -EBUSY},    {true, true, false, true, -EBUSY},
		{false, true, true, true, -EBUSY},   {false, true, false, true, 0},
		{false, false, false, true, -EBUSY}, {false, true, false, false, -EBUSY},
	};
	struct err err;

	close(make_file(SIZE));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int one = open_again(cases[i].write), two = open_again(cases[i].other_write);

		cr_assert(eq(int, disk_lock(one, cases[i].write, cases[i].share, &err), 0));
		cr_expect(eq(int, disk_lock(two, cases[i].other_write, cases[i].other_share, &err),
			     cases[i].ret),
			  "case %zu", i);
		close(one);
		/* What failed has left nothing behind. */
		one = open_again(true);
		if (cases[i].ret < 0)
			cr_expect(eq(int, disk_lock(one, true, true, &err), 0), "case %zu", i);
		close(one);
		close(two);
	}
}

static void lock_byte(int fd, int byte)
{
	struct flock lock = {.l_type = F_RDLCK, .l_start = byte, .l_len = 1};

	cr_assert(eq(int, fcntl(fd, F_OFD_SETLK, &lock), 0));
}

/* What QEMU 7.2 locks of a disk that a guest writes to, and of one that it reads. */
Test(disk_through, the_locks_are_those_of_qemu)
{
	static const int writer[] = {100, 101, 103, 201, 203}, reader[] = {100, 201, 203};
	int qemu, ours;
	struct err err;

	close(make_file(SIZE));
	qemu = open_again(true);
	ours = open_again(true);
	for (size_t i = 0; i < ARRAY_SIZE(writer); i++)
		lock_byte(qemu, writer[i]);
	cr_expect(eq(int, disk_lock(ours, true, true, &err), -EBUSY));
	cr_expect(eq(int, disk_lock(ours, false, true, &err), -EBUSY));
	close(qemu);
	qemu = open_again(true);
	for (size_t i = 0; i < ARRAY_SIZE(reader); i++)
		lock_byte(qemu, reader[i]);
	cr_expect(eq(int, disk_lock(ours, true, true, &err), -EBUSY));
	cr_expect(eq(int, disk_lock(ours, false, true, &err), 0));
}

Test(disk_through, the_holder_is_found)
{
	struct disk_lock_state state;
	struct stat st;
	struct err err;
	int to[2], back[2], fd = make_file(SIZE);
	char comm[32], byte = 0;
	pid_t child;

	cr_assert(eq(int, pipe(to), 0));
	cr_assert(eq(int, pipe(back), 0));
	cr_assert(eq(int, fstat(fd, &st), 0));
	cr_assert(eq(int, disk_lock_look(fd, &state, &err), 0));
	cr_assert(not(state.read));
	cr_assert(eq(int, (int)disk_lock_holder(&st, comm), 0));
	child = fork();
	if (child == 0) {
		int own = open_again(true);

		close(to[1]);
		byte = (char)(disk_lock(own, true, true, NULL) == 0);
		_exit(write(back[1], &byte, 1) != 1 || read(to[0], &byte, 1) != 0);
	}
	cr_assert(eq(int, (int)read(back[0], &byte, 1), 1));
	cr_assert(eq(int, byte, 1));
	cr_assert(eq(int, disk_lock_look(fd, &state, &err), 0));
	cr_expect(state.read && state.written);
	cr_expect(eq(int, (int)disk_lock_holder(&st, comm), (int)child));
	cr_expect(ne(int, comm[0], 0));
	close(to[1]);
	waitpid(child, NULL, 0);
	close(fd);
}

Test(disk_through, what_is_no_disk_is_refused)
{
	struct disk_file file;
	struct err err;
	int fd = make_file(0);

	cr_expect(eq(int, disk_file_open(&file, path, true, true, &err), -EINVAL));
	cr_expect(ne(ptr, strstr(err.text, "empty"), NULL));
	cr_assert(eq(int, ftruncate(fd, 1000), 0));
	cr_expect(eq(int, disk_file_open(&file, path, true, true, &err), -EINVAL));
	cr_expect(ne(ptr, strstr(err.text, "multiple"), NULL));
	cr_assert(eq(int, ftruncate(fd, 1024), 0));
	cr_assert(eq(int, (int)pwrite(fd, "QFI\xfb\0\0\0\3", 8, 0), 8));
	cr_expect(eq(int, disk_file_open(&file, path, true, true, &err), -EINVAL));
	cr_expect(ne(ptr, strstr(err.text, "qcow2"), NULL));
	cr_expect(eq(int, disk_file_open(&file, "/dev/null", true, true, &err), -EINVAL));
	cr_assert(eq(int, ftruncate(fd, 0), 0));
	cr_assert(eq(int, ftruncate(fd, 1024), 0));
	cr_expect(eq(int, disk_file_open(&file, path, true, true, &err), 0), "%s", err.text);
	disk_file_close(&file);
	cr_expect(eq(int, disk_file_create(path, 1024, &err), -EEXIST));
	close(fd);
}

/* ---- the digest ---- */

static void digest_of(int fd, uint64_t size, char text[DIGEST_TEXT_SIZE])
{
	struct err err;

	cr_assert(eq(int, disk_digest(fd, size, NULL, text, &err), 0), "%s", err.text);
}

Test(disk_through, the_digest_is_of_the_bytes_and_not_of_the_holes)
{
	/* printf '\0\0\1…' by hand: SHA-256 of le64(size), le64(1), SHA-256 of frame 1. */
	char before[DIGEST_TEXT_SIZE], after[DIGEST_TEXT_SIZE];
	uint8_t frame[FRAME_SIZE] = {0}, list[8 + 8 + 32], sum[32];
	int fd = make_file(SIZE - 512);
	uint8_t byte = 1;

	cr_assert(eq(int, (int)pwrite(fd, &byte, 1, FRAME_SIZE + 5), 1));
	digest_of(fd, SIZE - 512, before);
	frame[5] = 1;
	le_put64(list, SIZE - 512);
	le_put64(list + 8, 1);
	cr_assert(eq(int, digest_bytes(frame, sizeof(frame), list + 16, NULL), 0));
	cr_assert(eq(int, digest_bytes(list, sizeof(list), sum, NULL), 0));
	digest_text(sum, after);
	cr_expect_str_eq(before, after);

	memset(frame, 0, sizeof(frame));
	cr_assert(eq(int, (int)pwrite(fd, frame, sizeof(frame), MIB(2)), sizeof(frame)));
	digest_of(fd, SIZE - 512, after);
	cr_expect_str_eq(before, after);
	cr_assert(eq(int, (int)pwrite(fd, &byte, 1, SIZE - 513), 1));
	digest_of(fd, SIZE - 512, after);
	cr_expect_str_neq(before, after);
	cr_assert(eq(int, ftruncate(fd, SIZE), 0));
	digest_of(fd, SIZE, before);
	cr_expect_str_neq(before, after);
	close(fd);
}

Test(disk_through, a_digest_can_be_cancelled_and_a_short_file_is_an_error)
{
	char text[DIGEST_TEXT_SIZE];
	struct progress progress;
	uint8_t byte = 1;
	int fd = make_file(SIZE);
	struct err err;

	cr_assert(eq(int, (int)pwrite(fd, &byte, 1, SIZE - 1), 1));
	cr_assert(eq(int, progress_init(&progress, &err), 0));
	progress_cancel(&progress);
	cr_expect(eq(int, disk_digest(fd, SIZE, &progress, text, &err), -ECANCELED));
	progress_free(&progress);
	cr_expect(eq(int, disk_digest(fd, SIZE + FRAME_SIZE, NULL, text, &err), 0));
	cr_assert(eq(int, (int)pwrite(fd, &byte, 1, SIZE), 1));
	cr_expect(eq(int, disk_digest(fd, SIZE + FRAME_SIZE, NULL, text, &err), -ENODATA));
	close(fd);
}

/* --- past the page cache --- */

static struct disk *open_direct(struct disk_file *file)
{
	struct disk_params params = {
		.id = "data", .through = true, .size = SIZE, .scratch_dir = "/nowhere"};
	struct disk *disk = NULL;
	struct err err;

	if (disk_file_open(file, path, true, true, &err) < 0 ||
	    disk_file_open_direct(file, path, &err) < 0)
		return NULL;
	params.raw = (struct blob){.fd = file->fd, .len = SIZE};
	params.direct = true;
	params.direct_fd = file->direct_fd;
	cr_assert(eq(int, disk_open(&disk, &params, &err), 0), "%s", err.text);
	return disk;
}

/* Memory that is aligned as it has to be, and memory that is not; sectors, and what a cached read sees of them. */
Test(disk_through, past_the_page_cache)
{
	static uint8_t memory[3 * 4096];
	uint8_t *aligned = (uint8_t *)align_up((uintptr_t)memory, 4096), seen[1024];
	struct disk_file file;
	struct disk *disk;

	close(make_file(SIZE));
	disk = open_direct(&file);
	if (disk == NULL)
		cr_skip_test("SKIP: %s: nothing is read past the page cache", path);
	for (unsigned shift = 0; shift < 2; shift++) {
		struct iovec to[] = {{aligned + shift, 512}, {aligned + 1024 + shift, 512}};
		struct iovec from[] = {{aligned + 2048 + shift, 512},
				       {aligned + 3072 + shift, 512}};

		memset(to[0].iov_base, 3 + (int)shift, 512);
		memset(to[1].iov_base, 5 + (int)shift, 512);
		cr_assert(eq(int, disk_writev(disk, 512 * (3 + shift), to, 2), 0));
		cr_assert(eq(int, (int)pread(file.fd, seen, 1024, 512 * (3 + shift)), 1024));
		cr_assert(eq(u8, seen[0], 3 + shift));
		cr_assert(eq(u8, seen[1023], 5 + shift));
		cr_assert(eq(int, disk_readv(disk, 512 * (3 + shift), from, 2), 0));
		cr_assert(eq(u8, aligned[2048 + shift], 3 + shift));
		cr_assert(eq(u8, aligned[3072 + shift + 511], 5 + shift));
	}
	cr_assert(eq(int, disk_zero(disk, 512, 8192, true), 0));
	cr_assert(eq(int, disk_readv(disk, 2048, &(struct iovec){aligned, 512}, 1), 0));
	cr_assert(zero(u8, aligned[0]));
	cr_assert(eq(int, disk_flush(disk), 0));
	disk_close(disk);
}
