/* A disk whose layers lie packed in a file: reading, the cache, and what several threads save of
 * it. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "devices/disk.h"
#include "format/archive.h"
#include "format/archive_writer.h"
#include "format/image/frame_cache.h"
#include "sample.h"

TestSuite(disk_packed, .init = sample_begin, .fini = sample_end);

#define FRAMES	  40u
#define CACHED	  (2 * FRAME_CACHE_WAYS) /* less than there are */
#define DISK_SIZE (FRAMES * (uint64_t)FRAME_SIZE - 512)

/* Image 2 is the base, image 3 what was written over every fourth frame. */
static int base_frame(void *opaque, uint64_t index, uint8_t *scratch, const uint8_t **data,
		      enum extent_kind *kind, struct err *err)
{
	(void)opaque;
	(void)err;
	sample_frame(2, index, scratch);
	*data = scratch;
	*kind = EXTENT_DATA;
	return 0;
}

static int overlay_frame(void *opaque, uint64_t index, uint8_t *scratch, const uint8_t **data,
			 enum extent_kind *kind, struct err *err)
{
	(void)opaque;
	(void)err;
	*kind = index % 4 == 1 ? EXTENT_DATA : EXTENT_PARENT;
	sample_frame(3, index, scratch);
	*data = scratch;
	return 0;
}

static void expected_frame(uint64_t index, uint8_t *frame)
{
	sample_frame(index % 4 == 1 ? 3 : 2, index, frame);
	if (index == FRAMES - 1)
		memset(frame + FRAME_SIZE - 512, 0, 512);
}

static struct {
	struct archive *archive;
	struct frame_cache *cache;
	struct disk *disk;
} t;

static void write_file(void)
{
	struct image_source base = {.size = DISK_SIZE, .frame = base_frame};
	struct image_source overlay = {.size = DISK_SIZE, .frame = overlay_frame};
	struct archive_writer *w;
	struct appliance a;
	struct err err = {0};

	sample_appliance(&a, false);
	a.ndisks = 1;
	a.disk[0].size = DISK_SIZE;
	cr_assert(eq(int, archive_writer_open(&w, "disk.torpor", &err), 0), "%s", err.text);
	archive_writer_pack(w, 1);
	cr_assert(eq(int, archive_writer_image(w, "disk.0", &base, &err), 0), "%s", err.text);
	cr_assert(eq(int, archive_writer_image(w, "disk.0.overlay", &overlay, &err), 0), "%s",
		  err.text);
	cr_assert(eq(int, archive_writer_publish(w, &a, NULL, &err), 0), "%s", err.text);
	archive_writer_free(w);
	appliance_free(&a);
}

static void begin(void)
{
	struct image_layers layers = {.n = 2};
	struct disk_params params = {.id = "d",
				     .size = DISK_SIZE,
				     .layers = &layers,
				     .raw = {.fd = -1},
				     .scratch_dir = "/tmp"};
	struct err err = {0};

	write_file();
	cr_assert(eq(int, archive_open(&t.archive, "disk.torpor", &err), 0), "%s", err.text);
	cr_assert(eq(int, frame_cache_new(&t.cache, CACHED, &err), 0), "%s", err.text);
	params.cache = t.cache;
	layers.image[0] = archive_image(t.archive, "disk.0.overlay");
	layers.image[1] = archive_image(t.archive, "disk.0");
	cr_assert(eq(int, disk_open(&t.disk, &params, &err), 0), "%s", err.text);
}

static void finish(void)
{
	disk_close(t.disk);
	frame_cache_free(t.cache);
	archive_close(t.archive);
}

static uint64_t bytes_of(uint64_t index)
{
	return u64_min(FRAME_SIZE, DISK_SIZE - index * FRAME_SIZE);
}

static void check_read(uint64_t at, uint64_t len)
{
	uint8_t frame[FRAME_SIZE], *got = malloc(len);

	cr_assert(eq(int, disk_read(t.disk, at, got, len), 0));
	for (uint64_t done = 0, part; done < len; done += part) {
		uint64_t off = (at + done) % FRAME_SIZE;

		part = u64_min(FRAME_SIZE - off, len - done);
		expected_frame((at + done) / FRAME_SIZE, frame);
		cr_assert_arr_eq(got + done, frame + off, part, "at %d", (int)(at + done));
	}
	free(got);
}

Test(disk_packed, reads_anything_anywhere)
{
	begin();
	check_read(0, DISK_SIZE);
	check_read(FRAME_SIZE - 512, 1024);
	check_read(DISK_SIZE - 512, 512);
	srand(3);
	for (int i = 0; i < 400; i++) {
		uint64_t at = (uint64_t)rand() % (DISK_SIZE / 512) * 512;

		check_read(at, u64_min(512 * (1 + (uint64_t)rand() % 300), DISK_SIZE - at));
	}
	finish();
}

Test(disk_packed, a_part_of_a_block_is_written_over_it)
{
	uint8_t frame[FRAME_SIZE], got[FRAME_SIZE];

	begin();
	cr_assert(eq(int, disk_write(t.disk, 5 * FRAME_SIZE + 1024, "new", 3), 0));
	cr_assert(eq(int, disk_read(t.disk, 5 * FRAME_SIZE, got, sizeof(got)), 0));
	expected_frame(5, frame);
	memcpy(frame + 1024, "new", 3);
	cr_assert_arr_eq(got, frame, sizeof(got));
	finish();
}

/* A damaged frame is an error of the drive, each time; what lies around it is not. */
Test(disk_packed, damage_is_an_error_and_nothing_of_it_is_kept)
{
	struct blob blob;
	uint8_t byte, got[512];
	int fd;

	begin();
	/* Frame 7 is data of the base: 7 = place 5 behind two zeros. */
	blob = image_packed_place(archive_image(t.archive, "disk.0"), 5);
	fd = open("disk.torpor", O_RDWR | O_CLOEXEC);
	cr_assert(pread(fd, &byte, 1, (off_t)(blob.offset + 30)) == 1);
	byte ^= 0xff;
	cr_assert(pwrite(fd, &byte, 1, (off_t)(blob.offset + 30)) == 1);
	for (int i = 0; i < 3; i++) {
		cr_assert(eq(int, disk_read(t.disk, 7 * FRAME_SIZE + 512, got, 512), -EIO));
		cr_assert(eq(int, disk_write(t.disk, 7 * FRAME_SIZE + 10, "x", 1), -EIO));
		check_read(8 * FRAME_SIZE, FRAME_SIZE);
		check_read(6 * FRAME_SIZE, FRAME_SIZE);
	}
	byte ^= 0xff;
	cr_assert(pwrite(fd, &byte, 1, (off_t)(blob.offset + 30)) == 1);
	check_read(0, DISK_SIZE);
	close(fd);
	finish();
}

/* What a thread of a save sees wrong, or NULL. The guest wrote "new" into frames 4, 14, 24, 34. */
static void *save_frames(void *opaque)
{
	const struct image_source *source = opaque;
	uint8_t scratch[FRAME_SIZE], frame[FRAME_SIZE];

	for (uint64_t n = 0; n < 2 * FRAMES; n++) {
		uint64_t index = n * 7 % FRAMES;
		bool written = index % 10 == 4;
		/* Zeros over zeros need no saying. */
		bool overlaid = index % 4 == 1 && index % 3 != 2;
		enum extent_kind kind;
		const uint8_t *data;

		if (source->frame(source->opaque, index, scratch, &data, &kind, NULL) < 0)
			return (void *)"a frame cannot be read";
		if (kind != (overlaid || written ? EXTENT_DATA : EXTENT_PARENT))
			return (void *)"a frame of another kind";
		if (kind == EXTENT_PARENT)
			continue;
		expected_frame(index, frame);
		if (written)
			memcpy(frame + 600, "new", 3);
		if (memcmp(data, frame, bytes_of(index)) != 0)
			return (void *)"a frame of somebody else's";
	}
	return NULL;
}

Test(disk_packed, many_threads_save_it)
{
	struct image_source source;
	pthread_t thread[8];

	begin();
	for (uint64_t index = 4; index < FRAMES; index += 10)
		cr_assert(eq(int, disk_write(t.disk, index * FRAME_SIZE + 600, "new", 3), 0));
	disk_overlay_source(t.disk, &source);
	for (size_t i = 0; i < ARRAY_SIZE(thread); i++)
		cr_assert(eq(int, pthread_create(&thread[i], NULL, save_frames, &source), 0));
	for (size_t i = 0; i < ARRAY_SIZE(thread); i++) {
		void *complaint;

		cr_assert(eq(int, pthread_join(thread[i], &complaint), 0));
		cr_assert_null(complaint, "%s", (const char *)complaint);
	}
	finish();
}
