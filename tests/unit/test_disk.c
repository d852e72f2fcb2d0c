/* A disk's layers: raw file or image, overlay, scratch file; and what is saved of them. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/num.h"
#include "devices/disk.h"

#define BLOCK 4096u

/* An anonymous file of `len` bytes in which each 512-byte sector repeats `tag` + its number. */
static int tagged_file(uint8_t tag, uint64_t len)
{
	int fd = memfd_create("disk", MFD_CLOEXEC);

	for (uint64_t at = 0; at < len; at += 512) {
		uint8_t sector[512];

		memset(sector, (int)(tag + at / 512), sizeof(sector));
		cr_assert(ge(int, (int)pwrite(fd, sector, u64_min(512, len - at), (off_t)at), 0));
	}
	return fd;
}

static uint8_t tagged(uint8_t tag, uint64_t at)
{
	return (uint8_t)(tag + at / 512);
}

static struct disk *open_raw(int fd, uint64_t len, uint64_t size, bool readonly)
{
	struct disk_params params = {
		.id = "data",
		.readonly = readonly,
		.size = size,
		.raw = {.fd = fd, .len = len},
		.scratch_dir = "/tmp",
	};
	struct disk *disk = NULL;
	struct err err;

	cr_assert(eq(int, disk_open(&disk, &params, &err), 0), "%s", err.text);
	return disk;
}

static uint8_t byte_at(struct disk *disk, uint64_t at)
{
	uint8_t b = 0;

	cr_assert(eq(int, disk_read(disk, at, &b, 1), 0));
	return b;
}

/* A small image: one kind a frame, data frames filled from `tag` up. */
static void make_image(struct image *image, uint64_t size, const enum extent_kind *kinds,
		       uint8_t tag)
{
	uint64_t frames = (size + FRAME_SIZE - 1) / FRAME_SIZE;
	uint8_t frame[FRAME_SIZE];

	memset(image, 0, sizeof(*image));
	image->map.size = size;
	image->map.extents = calloc(frames, sizeof(struct extent));
	image->nparts = 1;
	image->part_frames = frames;
	image->part[0].fd = memfd_create("image", MFD_CLOEXEC);
	for (uint64_t i = 0; i < frames; i++) {
		struct extent *e = &image->map.extents[image->map.nextents++];

		*e = (struct extent){.frame = i, .frames = 1, .kind = kinds[i]};
		if (kinds[i] != EXTENT_DATA)
			continue;
		e->place = image->map.data_frames++;
		memset(frame, (int)(tag + i), sizeof(frame));
		cr_assert(eq(int,
			     (int)pwrite(image->part[0].fd, frame, sizeof(frame),
					 (off_t)(e->place * FRAME_SIZE)),
			     FRAME_SIZE));
	}
	image->part[0].len = image->map.data_frames * FRAME_SIZE;
}

static void free_image(struct image *image)
{
	close(image->part[0].fd);
	image_free(image);
}

static struct disk *open_images(const struct image *base, const struct image *overlay)
{
	struct image_layers layers = {.n = 2, .image = {overlay, base}};
	struct disk_params params = {
		.id = "data",
		.size = base->map.size,
		.layers = &layers,
		.scratch_dir = "/tmp",
	};
	struct disk *disk = NULL;
	struct err err;

	cr_assert(eq(int, disk_open(&disk, &params, &err), 0), "%s", err.text);
	return disk;
}

Test(disk, reads_a_raw_file)
{
	struct disk *disk = open_raw(tagged_file(1, 65536), 65536, 65536, true);
	uint8_t data[3000];

	cr_assert(eq(int, disk_read(disk, 700, data, sizeof(data)), 0));
	for (unsigned i = 0; i < sizeof(data); i++)
		cr_assert(eq(u8, data[i], tagged(1, 700 + i)));
	cr_assert(eq(int, disk_write(disk, 0, data, 512), -EROFS));
	cr_assert(eq(int, disk_zero(disk, 0, 512, true), -EROFS));
	disk_close(disk);
}

/* It has no scratch file. Reads of one byte up to all of it, aligned to eight blocks and not. */
Test(disk, a_read_only_disk_is_read_in_long_pieces)
{
	const uint64_t size = 5 * FRAME_SIZE + 512;
	struct disk *disk = open_raw(tagged_file(3, size), size, size, true);
	uint8_t *got = malloc(size);

	for (uint64_t at = 0; at < size; at += 3 * BLOCK) {
		for (uint64_t len = 1; at + len <= size; len = 2 * len + 511) {
			cr_assert(eq(int, disk_read(disk, at, got, len), 0));
			for (uint64_t i = 0; i < len; i++)
				cr_assert_eq(got[i], tagged(3, at + i));
		}
	}
	cr_assert(eq(int, disk_read(disk, 0, got, size), 0));
	cr_expect(eq(int, disk_write(disk, 0, got, 512), -EROFS));
	free(got);
	disk_close(disk);
}

Test(disk, the_rest_of_the_last_sector_is_zero)
{
	struct disk *disk = open_raw(tagged_file(1, 1000), 1000, 1024, false);

	cr_assert(eq(u8, byte_at(disk, 999), 2));
	cr_assert(eq(u8, byte_at(disk, 1000), 0));
	cr_assert(eq(u8, byte_at(disk, 1023), 0));
	disk_close(disk);
}

Test(disk, a_file_that_shrank_is_an_error)
{
	int fd = tagged_file(1, 65536);
	struct disk *disk = open_raw(fd, 65536, 65536, false);
	uint8_t data[512];

	cr_assert(eq(int, ftruncate(fd, 4096), 0));
	cr_assert(eq(int, disk_read(disk, 4096, data, sizeof(data)), -EIO));
	cr_assert(eq(int, disk_write(disk, 8192, data, sizeof(data)), -EIO));
	disk_close(disk);
}

Test(disk, writes_never_reach_the_base)
{
	int fd = tagged_file(1, 65536), copy = dup(fd);
	struct disk *disk = open_raw(fd, 65536, 65536, false);
	uint8_t data[65536], base[65536];

	memset(data, 0xee, sizeof(data));
	cr_assert(disk_pristine(disk));
	cr_assert(eq(int, disk_write(disk, 0, data, sizeof(data)), 0));
	cr_assert(not(disk_pristine(disk)));
	cr_assert(eq(int, (int)pread(copy, base, sizeof(base), 0), 65536));
	for (unsigned i = 0; i < sizeof(base); i++)
		cr_assert(eq(u8, base[i], tagged(1, i)));
	disk_close(disk);
	close(copy);
}

Test(disk, what_was_written_can_be_dropped)
{
	const uint64_t size = MIB(1);
	struct disk *disk = open_raw(tagged_file(7, size), size, size, false);
	uint8_t block[BLOCK];
	struct err err;

	cr_assert(eq(int, disk_drop_changes(disk, &err), 0), "nothing yet");
	memset(block, 0xee, sizeof(block));
	for (unsigned round = 0; round < 2; round++) {
		cr_assert(eq(int, disk_write(disk, 5000, block, sizeof(block)), 0));
		cr_assert(eq(int, disk_zero(disk, KIB(64), KIB(64), round == 0), 0));
		cr_assert(not(disk_pristine(disk)));
		cr_assert(eq(int, disk_drop_changes(disk, &err), 0), "%s", err.text);
		cr_assert(disk_pristine(disk));
		for (uint64_t at = 0; at < size; at += 509)
			cr_assert(eq(u8, byte_at(disk, at), tagged(7, at)));
		/* Nor does it show around what is written next. */
		cr_assert(eq(int, disk_write(disk, 5000, block, 1), 0));
		cr_assert(eq(u8, byte_at(disk, 5001), tagged(7, 5001)));
		cr_assert(eq(int, disk_drop_changes(disk, &err), 0));
	}
	disk_close(disk);
	disk = open_raw(tagged_file(7, size), size, size, true);
	cr_assert(eq(int, disk_drop_changes(disk, &err), 0), "a read-only disk has nothing");
	disk_close(disk);
}

Test(disk, a_part_of_a_block_keeps_the_rest)
{
	struct disk *disk = open_raw(tagged_file(1, 65536), 65536, 65536, false);
	uint8_t data[2 * BLOCK + 1024];

	memset(data, 0xee, sizeof(data));
	/* The tail of block 0, blocks 1 and 2, the first sector of block 3. */
	cr_assert(eq(int, disk_write(disk, BLOCK - 512, data, sizeof(data)), 0));
	for (uint64_t at = 0; at < 65536; at += 512) {
		bool written = at >= BLOCK - 512 && at < 3 * BLOCK + 512;

		cr_assert(eq(u8, byte_at(disk, at), written ? 0xee : tagged(1, at)), "at %lu", at);
	}
	cr_assert(eq(int, disk_write(disk, 512, data, 512), 0));
	cr_assert(eq(u8, byte_at(disk, 511), 1));
	cr_assert(eq(u8, byte_at(disk, 512), 0xee));
	cr_assert(eq(u8, byte_at(disk, 1024), 3));
	disk_close(disk);
}

Test(disk, zeroing_and_discarding)
{
	for (int discard = 0; discard < 2; discard++) {
		struct disk *disk = open_raw(tagged_file(1, 65536), 65536, 65536, false);
		uint8_t data[BLOCK];

		memset(data, 0xee, sizeof(data));
		cr_assert(eq(int, disk_write(disk, 2 * BLOCK, data, BLOCK), 0));
		cr_assert(eq(int, disk_zero(disk, 512, 4 * BLOCK, discard), 0));
		for (uint64_t at = 0; at < 65536; at += 512) {
			bool zero = at >= 512 && at < 4 * BLOCK + 512;

			cr_assert(eq(u8, byte_at(disk, at), zero ? 0 : tagged(1, at)), "at %lu",
				  at);
		}
		cr_assert(eq(int, disk_zero(disk, 8 * BLOCK + 512, 512, discard), 0));
		cr_assert(eq(u8, byte_at(disk, 8 * BLOCK), tagged(1, 8 * BLOCK)));
		cr_assert(eq(u8, byte_at(disk, 8 * BLOCK + 512), 0));
		cr_assert(eq(u8, byte_at(disk, 8 * BLOCK + 1024), tagged(1, 8 * BLOCK + 1024)));
		cr_assert(eq(int, disk_zero(disk, 7 * BLOCK + 2048, BLOCK, discard), 0));
		cr_assert(eq(u8, byte_at(disk, 7 * BLOCK + 2048), 0));
		cr_assert(eq(u8, byte_at(disk, 8 * BLOCK + 2047), 0));
		cr_assert(eq(u8, byte_at(disk, 8 * BLOCK + 2048), tagged(1, 8 * BLOCK + 2048)));
		disk_close(disk);
	}
}

Test(disk, a_short_last_block)
{
	uint64_t size = 65536 + 1536;
	struct disk *disk = open_raw(tagged_file(1, size), size, size, false);
	uint8_t data[512];

	memset(data, 0xee, sizeof(data));
	cr_assert(eq(int, disk_write(disk, size - 512, data, 512), 0));
	cr_assert(eq(u8, byte_at(disk, size - 513), tagged(1, size - 513)));
	cr_assert(eq(u8, byte_at(disk, size - 1), 0xee));
	cr_assert(eq(int, disk_zero(disk, 65536, 1536, true), 0));
	cr_assert(eq(u8, byte_at(disk, size - 1), 0));
	cr_assert(eq(u8, byte_at(disk, 65535), tagged(1, 65535)));
	disk_close(disk);
}

Test(disk, layers_of_images)
{
	static const enum extent_kind base_kind[] = {EXTENT_DATA, EXTENT_DATA, EXTENT_ZERO,
						     EXTENT_DATA, EXTENT_DATA};
	static const enum extent_kind over_kind[] = {EXTENT_PARENT, EXTENT_DATA, EXTENT_PARENT,
						     EXTENT_ZERO, EXTENT_PARENT};
	static const uint8_t expect[] = {0x10, 0x21, 0, 0, 0x14};
	uint64_t size = 4 * FRAME_SIZE + 2048;
	struct image base, over;
	struct disk *disk;
	uint8_t all[4 * FRAME_SIZE + 2048];

	make_image(&base, size, base_kind, 0x10);
	make_image(&over, size, over_kind, 0x20);
	disk = open_images(&base, &over);
	cr_assert(eq(int, disk_read(disk, 0, all, size), 0));
	for (uint64_t i = 0; i < size; i++)
		cr_assert(eq(u8, all[i], expect[i / FRAME_SIZE]), "at %lu", i);
	cr_assert(not(disk_pristine(disk)), "the overlay must be saved again");
	/* A sector over the overlay, in the middle of a frame. */
	memset(all, 0xee, 512);
	cr_assert(eq(int, disk_write(disk, FRAME_SIZE + BLOCK + 512, all, 512), 0));
	cr_assert(eq(u8, byte_at(disk, FRAME_SIZE + BLOCK + 511), 0x21));
	cr_assert(eq(u8, byte_at(disk, FRAME_SIZE + BLOCK + 512), 0xee));
	disk_close(disk);
	free_image(&base);
	free_image(&over);
}

/* --- what is saved --- */

static uint8_t frame_buf[FRAME_SIZE];

static enum extent_kind frame_of(const struct image_source *source, uint64_t index,
				 const uint8_t **data)
{
	enum extent_kind kind = EXTENT_ZERO;
	struct err err;

	memset(frame_buf, 0x55, sizeof(frame_buf));
	cr_assert(eq(int, source->frame(source->opaque, index, frame_buf, data, &kind, &err), 0),
		  "%s", err.text);
	return kind;
}

Test(disk, base_source_of_a_raw_file)
{
	uint64_t size = FRAME_SIZE + 512;
	struct disk *disk = open_raw(tagged_file(1, size), size, size, false);
	struct image_source source;
	const struct image *image;
	const uint8_t *data;
	uint8_t sector[512] = {0};

	/* Writes belong to the overlay. */
	cr_assert(eq(int, disk_write(disk, 0, sector, sizeof(sector)), 0));
	cr_assert(disk_base_source(disk, &source, &image));
	cr_assert(eq(u64, source.size, size));
	cr_assert(eq(int, frame_of(&source, 0, &data), EXTENT_DATA));
	cr_assert(eq(u8, data[0], 1));
	cr_assert(eq(int, frame_of(&source, 1, &data), EXTENT_DATA));
	cr_assert(eq(u8, data[0], tagged(1, FRAME_SIZE)));
	cr_assert(eq(u8, data[512], 0), "padded");
	cr_assert(eq(u8, data[FRAME_SIZE - 1], 0));
	disk_close(disk);
}

/* Each way to change a base under a disk is noticed and named. */
Test(disk, a_base_that_was_changed_is_named)
{
	static const struct {
		const char *how, *said;
	} cases[] = {
		{"write", "was written to"},
		{"truncate", "has another size"},
		{"old times", "was changed (its ctime)"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char path[] = "/tmp/torpor-base.XXXXXX";
		struct disk_params params = {
			.id = "data",
			.size = 65536,
			.raw = {.fd = mkostemp(path, O_CLOEXEC), .len = 65536},
			.path = path,
			.scratch_dir = "/tmp",
		};
		struct timespec times[2];
		struct err err = {0};
		struct disk *disk;
		struct stat st;
		int fd;

		cr_assert(eq(int, ftruncate(params.raw.fd, 65536), 0));
		cr_assert(eq(int, fstat(params.raw.fd, &st), 0));
		cr_assert(eq(int, disk_open(&disk, &params, &err), 0), "%s", err.text);
		cr_assert(eq(int, disk_check_base(disk, &err), 0), "%s", err.text);
		usleep(20000); /* the file system's clock is coarse */
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (i == 1)
			cr_assert(eq(int, ftruncate(fd, 512), 0));
		else
			cr_assert(eq(int, (int)pwrite(fd, "x", 1, 0), 1));
		times[0] = st.st_atim;
		times[1] = st.st_mtim;
		if (i == 2)
			cr_assert(eq(int, futimens(fd, times), 0));
		cr_assert(eq(int, disk_check_base(disk, &err), -ESTALE), "%s", cases[i].how);
		cr_assert(not(eq(ptr, strstr(err.text, path), NULL)), "%s", err.text);
		cr_assert(not(eq(ptr, strstr(err.text, cases[i].said), NULL)), "%s", err.text);
		close(fd);
		unlink(path);
		disk_close(disk);
	}
}

Test(disk, overlay_source_of_a_raw_file)
{
	uint64_t size = 3 * FRAME_SIZE + 512;
	struct disk *disk = open_raw(tagged_file(1, size), size, size, false);
	struct image_source source;
	const uint8_t *data;
	uint8_t sector[512];

	memset(sector, 0xee, sizeof(sector));
	cr_assert(eq(int, disk_write(disk, FRAME_SIZE + 1024, sector, 512), 0));
	cr_assert(eq(int, disk_write(disk, 3 * FRAME_SIZE, sector, 512), 0));
	disk_overlay_source(disk, &source);
	cr_assert(eq(int, frame_of(&source, 0, &data), EXTENT_PARENT));
	cr_assert(eq(int, frame_of(&source, 1, &data), EXTENT_DATA));
	cr_assert(eq(u8, data[1023], tagged(1, FRAME_SIZE + 1023)));
	cr_assert(eq(u8, data[1024], 0xee));
	cr_assert(eq(u8, data[BLOCK], tagged(1, FRAME_SIZE + BLOCK)));
	cr_assert(eq(int, frame_of(&source, 2, &data), EXTENT_PARENT));
	cr_assert(eq(int, frame_of(&source, 3, &data), EXTENT_DATA));
	cr_assert(eq(u8, data[0], 0xee));
	cr_assert(eq(u8, data[512], 0));
	disk_close(disk);
}

Test(disk, overlay_source_over_an_overlay)
{
	static const enum extent_kind base_kind[] = {EXTENT_DATA, EXTENT_DATA, EXTENT_DATA,
						     EXTENT_DATA};
	static const enum extent_kind over_kind[] = {EXTENT_PARENT, EXTENT_DATA, EXTENT_ZERO,
						     EXTENT_PARENT};
	struct image base, over;
	struct image_source source;
	const struct image *image = NULL;
	const uint8_t *data;
	struct disk *disk;

	make_image(&base, 4 * FRAME_SIZE, base_kind, 0x10);
	make_image(&over, 4 * FRAME_SIZE, over_kind, 0x20);
	disk = open_images(&base, &over);
	cr_assert(not(disk_base_source(disk, &source, &image)));
	cr_assert(image == &base);
	cr_assert(eq(int, disk_zero(disk, 3 * FRAME_SIZE, FRAME_SIZE, true), 0));
	disk_overlay_source(disk, &source);
	cr_assert(eq(int, frame_of(&source, 0, &data), EXTENT_PARENT));
	cr_assert(eq(int, frame_of(&source, 1, &data), EXTENT_DATA));
	cr_assert(eq(u8, data[777], 0x21));
	cr_assert(eq(int, frame_of(&source, 2, &data), EXTENT_ZERO));
	/* Discarded above data: not as in the parent, but zero. */
	cr_assert(ne(int, frame_of(&source, 3, &data), EXTENT_PARENT));
	cr_assert(eq(u8, data[0], 0));
	cr_assert(eq(u8, data[FRAME_SIZE - 1], 0));
	disk_close(disk);
	free_image(&base);
	free_image(&over);
}

/* --- the host fails --- */

/* As of guest memory whose file was truncated: not to be taken for the disk's error. */
Test(disk, memory_that_is_not_there_is_no_error_of_the_disk)
{
	static const enum extent_kind kind[] = {EXTENT_DATA, EXTENT_DATA};
	void *gone = mmap(NULL, BLOCK, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct disk *raw = open_raw(tagged_file(1, 32768), 32768, 32768, false);
	uint8_t data[BLOCK] = {0};
	struct image base, over;
	struct disk *layered;

	make_image(&base, 2 * FRAME_SIZE, kind, 0x10);
	make_image(&over, 2 * FRAME_SIZE, kind, 0x20);
	layered = open_images(&base, &over);
	cr_assert(ne(ptr, gone, MAP_FAILED));
	cr_assert(eq(int, disk_read(raw, 0, gone, BLOCK), -EFAULT));
	cr_assert(eq(int, disk_read(layered, 0, gone, BLOCK), -EFAULT));
	cr_assert(eq(int, disk_write(raw, 0, data, BLOCK), 0));
	cr_assert(eq(int, disk_read(raw, 0, gone, BLOCK), -EFAULT));
	cr_assert(eq(int, disk_write(raw, BLOCK, gone, BLOCK), -EFAULT));
	disk_close(raw);
	disk_close(layered);
	free_image(&base);
	free_image(&over);
}

Test(disk, a_full_scratch_file_changes_nothing)
{
	/* A limit on file size stands for a full disk: writes behind it fail. */
	struct rlimit limit = {.rlim_cur = 65536, .rlim_max = 65536};
	struct disk *disk = open_raw(tagged_file(1, 32768), 32768, 32768, false);
	uint8_t data[BLOCK];
	struct rlimit old;

	memset(data, 0xee, sizeof(data));
	cr_assert(eq(int, disk_write(disk, 0, data, sizeof(data)), 0));
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	limit.rlim_cur = 8192;
	limit.rlim_max = old.rlim_max;
	cr_assert(eq(int, setrlimit(RLIMIT_FSIZE, &limit), 0));
	cr_assert(eq(int, disk_write(disk, 16384, data, sizeof(data)), -EFBIG));
	cr_assert(eq(int, disk_write(disk, 16384 + 512, data, 512), -EFBIG));
	cr_assert(eq(int, setrlimit(RLIMIT_FSIZE, &old), 0));
	cr_assert(eq(u8, byte_at(disk, 16384), tagged(1, 16384)));
	cr_assert(eq(u8, byte_at(disk, 0), 0xee));
	cr_assert(eq(int, disk_write(disk, 16384, data, sizeof(data)), 0));
	cr_assert(eq(u8, byte_at(disk, 16384), 0xee));
	disk_close(disk);
}

static int try_open(struct disk_params params, struct err *err)
{
	struct disk *disk = NULL;
	int ret;

	params.id = "data";
	params.raw = (struct blob){.fd = tagged_file(1, 512), .len = 512};
	ret = disk_open(&disk, &params, err);
	if (ret == 0)
		disk_close(disk);
	return ret;
}

Test(disk, absurd_parameters)
{
	struct err err;

	cr_assert(
		lt(int, try_open((struct disk_params){.size = 0, .scratch_dir = "/tmp"}, &err), 0));
	cr_assert(lt(int, try_open((struct disk_params){.size = 700, .scratch_dir = "/tmp"}, &err),
		     0));
	cr_assert(lt(
		int,
		try_open((struct disk_params){.size = IMAGE_MAX_BYTES + 512, .scratch_dir = "/tmp"},
			 &err),
		0));
	cr_assert(lt(int,
		     try_open((struct disk_params){.size = 512, .scratch_dir = "/nowhere"}, &err),
		     0));
	cr_assert(eq(int, strncmp(err.text, "disk data: ", 11), 0), "%s", err.text);
	cr_assert(eq(int, try_open((struct disk_params){.size = 512, .readonly = true}, &err), 0));
}

enum { MODEL_SIZE = 40 * 4096 + 1536 };

struct modelled {
	struct disk *disk;
	uint64_t seed;
	uint8_t model[MODEL_SIZE]; /* what the disk holds */
};

static void open_modelled(struct modelled *m)
{
	m->disk = open_raw(tagged_file(1, MODEL_SIZE), MODEL_SIZE, MODEL_SIZE, false);
	m->seed = 88172645463325252u;
	for (uint64_t i = 0; i < MODEL_SIZE; i++)
		m->model[i] = tagged(1, i);
}

static bool is_as_modelled(struct modelled *m)
{
	static uint8_t all[MODEL_SIZE];

	return disk_read(m->disk, 0, all, MODEL_SIZE) == 0 &&
	       memcmp(all, m->model, MODEL_SIZE) == 0;
}

static void random_operations(struct modelled *m, unsigned rounds)
{
	static uint8_t data[MODEL_SIZE];
	struct disk *disk = m->disk;
	uint8_t *model = m->model;
	uint64_t seed = m->seed;

	for (unsigned round = 0; round < rounds; round++) {
		uint64_t at, len;

		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		at = seed % MODEL_SIZE & ~511u;
		len = u64_min((seed >> 20) % 20000 & ~511u, MODEL_SIZE - at);
		if (seed >> 60 < 6) {
			memset(data, (int)round, len);
			cr_assert(eq(int, disk_write(disk, at, data, len), 0));
			memset(model + at, (int)round, len);
		} else if (seed >> 60 < 10) {
			cr_assert(eq(int, disk_zero(disk, at, len, seed >> 59 & 1), 0));
			memset(model + at, 0, len);
		} else {
			cr_assert(eq(int, disk_read(disk, at, data, len), 0));
			cr_assert(eq(int, memcmp(data, model + at, len), 0), "round %u", round);
		}
	}
	m->seed = seed;
	cr_assert(is_as_modelled(m));
}

Test(disk, random_operations_match_a_model)
{
	static struct modelled m;

	open_modelled(&m);
	random_operations(&m, 3000);
	disk_close(m.disk);
}

/* Another process, that reads what the disk was when it was forked, once it is told to. */
static pid_t fork_reader(struct modelled *m, int *tell)
{
	int ends[2];
	pid_t reader;

	cr_assert(pipe(ends) == 0);
	reader = fork();
	if (reader == 0) {
		char byte;

		close(ends[1]);
		_exit(read(ends[0], &byte, 1) == 1 && is_as_modelled(m) ? 0 : 1);
	}
	close(ends[0]);
	*tell = ends[1];
	return reader;
}

Test(disk, one_that_is_frozen_is_read_by_another_process)
{
	static struct modelled m;
	struct err err;

	open_modelled(&m);
	for (unsigned round = 0; round < 40; round++) {
		int tell, status;
		pid_t reader;

		random_operations(&m, round);
		cr_assert(eq(int, disk_prepare_freeze(m.disk, "/tmp", &err), 0), "%s", err.text);
		disk_freeze(m.disk);
		reader = fork_reader(&m, &tell);
		random_operations(&m, 20 * (round % 3));
		cr_assert(write(tell, "x", 1) == 1);
		close(tell);
		cr_assert(waitpid(reader, &status, 0) == reader);
		cr_assert(eq(int, status, 0), "it changed, round %u", round);
		disk_thaw(m.disk);
		while (disk_merging(m.disk)) {
			cr_assert(eq(int, disk_merge(m.disk, 8192, &err), 0), "%s", err.text);
			random_operations(&m, round % 4);
		}
		cr_assert(is_as_modelled(&m));
	}
	disk_close(m.disk);
}

/* Of a disk that is frozen for nothing, or changes are dropped from while it is merged. */
Test(disk, freezing_leaves_nothing_behind)
{
	struct disk *disk = open_raw(tagged_file(1, 65536), 65536, 65536, false);
	static uint8_t block[8 * BLOCK];
	struct err err;

	memset(block, 7, sizeof(block));
	cr_assert(eq(int, disk_prepare_freeze(disk, "/tmp", &err), 0), "%s", err.text);
	disk_thaw(disk);
	cr_assert(not(disk_merging(disk)));
	cr_assert(eq(int, disk_prepare_freeze(disk, "/nowhere", &err), -ENOENT));
	cr_assert(eq(int, disk_prepare_freeze(disk, "/tmp", &err), 0), "%s", err.text);
	disk_freeze(disk);
	cr_assert(disk_pristine(disk));
	cr_assert(eq(int, disk_write(disk, 512, block, sizeof(block)), 0));
	cr_assert(not(disk_pristine(disk)));
	cr_assert(ge(u64, disk_scratch_bytes(disk), sizeof(block)));
	disk_thaw(disk);
	cr_assert(disk_merging(disk));
	cr_assert(eq(int, disk_merge(disk, BLOCK, &err), 0));
	cr_assert(eq(int, disk_drop_changes(disk, &err), 0), "%s", err.text);
	cr_assert(not(disk_merging(disk)));
	cr_assert(disk_pristine(disk));
	cr_assert(eq(u8, byte_at(disk, 5000), tagged(1, 5000)));
	cr_assert(eq(u64, disk_scratch_bytes(disk), 0));
	disk_close(disk);
}
