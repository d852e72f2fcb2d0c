/* Frames of packed images that stay in memory: which ones, how many, and for several threads. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "format/archive.h"
#include "format/archive_writer.h"
#include "format/image/frame_cache.h"
#include "sample.h"

TestSuite(frame_cache, .init = sample_begin, .fini = sample_end);

#define FRAMES 64u

static int frame_of(unsigned image, uint64_t index, uint8_t *scratch, const uint8_t **data,
		    enum extent_kind *kind)
{
	memset(scratch, (int)(image * 100 + index + 1), FRAME_SIZE);
	*data = scratch;
	*kind = EXTENT_DATA;
	return 0;
}

static int first_frame(void *opaque, uint64_t index, uint8_t *scratch, const uint8_t **data,
		       enum extent_kind *kind, struct err *err)
{
	(void)opaque;
	(void)err;
	return frame_of(0, index, scratch, data, kind);
}

static int second_frame(void *opaque, uint64_t index, uint8_t *scratch, const uint8_t **data,
			enum extent_kind *kind, struct err *err)
{
	(void)opaque;
	(void)err;
	return frame_of(1, index, scratch, data, kind);
}

static struct {
	struct archive *archive;
	const struct image *image[2];
	struct frame_cache *cache;
} t;

static void begin(unsigned frames)
{
	struct image_source first = {.size = FRAMES * (uint64_t)FRAME_SIZE, .frame = first_frame};
	struct image_source second = {.size = FRAMES * (uint64_t)FRAME_SIZE, .frame = second_frame};
	struct archive_writer *w;
	struct appliance a;
	struct err err = {0};

	sample_appliance(&a, false);
	a.ndisks = 2;
	a.disk[0].size = a.disk[1].size = first.size;
	strcpy(a.disk[1].id, "other");
	cr_assert(eq(int, archive_writer_open(&w, "two.torpor", &err), 0), "%s", err.text);
	archive_writer_pack(w, 1);
	cr_assert(eq(int, archive_writer_image(w, "disk.0", &first, &err), 0), "%s", err.text);
	cr_assert(eq(int, archive_writer_image(w, "disk.1", &second, &err), 0), "%s", err.text);
	cr_assert(eq(int, archive_writer_publish(w, &a, NULL, &err), 0), "%s", err.text);
	archive_writer_free(w);
	appliance_free(&a);
	cr_assert(eq(int, archive_open(&t.archive, "two.torpor", &err), 0), "%s", err.text);
	t.image[0] = archive_image(t.archive, "disk.0");
	t.image[1] = archive_image(t.archive, "disk.1");
	cr_assert(eq(int, frame_cache_new(&t.cache, frames, &err), 0), "%s", err.text);
}

static void finish(void)
{
	frame_cache_free(t.cache);
	archive_close(t.archive);
}

/* Whether it is kept, and then what it should be. */
static bool kept(unsigned image, uint64_t place)
{
	uint8_t got[16] = {0};
	bool hit = frame_cache_copy(t.cache, t.image[image], place, 1000, got, sizeof(got));

	for (size_t i = 0; hit && i < sizeof(got); i++)
		cr_assert(eq(int, got[i], (int)(image * 100 + place + 1)));
	return hit;
}

static void load(unsigned image, uint64_t place)
{
	struct err err = {0};
	uint8_t got[16];

	cr_assert(eq(int,
		     frame_cache_load(t.cache, t.image[image], place, FRAME_SIZE - sizeof(got), got,
				      sizeof(got), &err),
		     0),
		  "%s", err.text);
	for (size_t i = 0; i < sizeof(got); i++)
		cr_assert(eq(int, got[i], (int)(image * 100 + place + 1)));
}

Test(frame_cache, frames_of_two_images_do_not_meet)
{
	begin(FRAMES);
	cr_assert_not(kept(0, 3));
	load(0, 3);
	cr_assert(kept(0, 3));
	cr_assert_not(kept(1, 3));
	load(1, 3);
	cr_assert(kept(0, 3));
	cr_assert(kept(1, 3));
	finish();
}

/* One row: what was asked for longest ago makes room, and not what was read longest ago. */
Test(frame_cache, the_one_asked_for_longest_ago_makes_room)
{
	begin(1);
	for (uint64_t place = 0; place < FRAME_CACHE_WAYS; place++)
		load(0, place);
	cr_assert(kept(0, 0));
	load(0, FRAME_CACHE_WAYS);
	cr_assert(kept(0, 0));
	cr_assert_not(kept(0, 1));
	finish();
}

/* Two rows hold what two rows may, whatever is read. A frame that is read again takes no second place. */
Test(frame_cache, it_has_a_bound)
{
	unsigned n = 0;

	begin(2 * FRAME_CACHE_WAYS);
	for (uint64_t place = 0; place < FRAMES; place++) {
		load(0, place);
		load(0, place);
	}
	for (uint64_t place = 0; place < FRAMES; place++)
		n += kept(0, place);
	cr_assert(eq(u32, n, 2 * FRAME_CACHE_WAYS));
	finish();
}

Test(frame_cache, a_damaged_frame_is_not_kept)
{
	struct err err = {0};
	struct blob blob;
	uint8_t byte;
	int fd;

	begin(FRAMES);
	blob = image_packed_place(t.image[0], 5);
	fd = open("two.torpor", O_RDWR | O_CLOEXEC);
	cr_assert(pread(fd, &byte, 1, (off_t)(blob.offset + 9)) == 1);
	byte ^= 0xff;
	cr_assert(pwrite(fd, &byte, 1, (off_t)(blob.offset + 9)) == 1);
	close(fd);
	cr_assert(lt(int, frame_cache_load(t.cache, t.image[0], 5, 0, &byte, 1, &err), 0));
	cr_assert(eq(int, err.kind, ERR_INTEGRITY), "%s", err.text);
	cr_assert_not(kept(0, 5));
	finish();
}

static void *read_all(void *opaque)
{
	const uint64_t step = (uintptr_t)opaque;

	for (uint64_t i = 0; i < 20 * FRAMES; i++) {
		unsigned image = i / FRAMES % 2;
		uint64_t place = i * step % FRAMES;

		if (!kept(image, place))
			load(image, place);
	}
	return NULL;
}

Test(frame_cache, many_threads)
{
	pthread_t thread[4];

	begin(2 * FRAME_CACHE_WAYS);
	for (size_t i = 0; i < ARRAY_SIZE(thread); i++)
		cr_assert(eq(int, pthread_create(&thread[i], NULL, read_all, (void *)(2 * i + 1)),
			     0));
	for (size_t i = 0; i < ARRAY_SIZE(thread); i++)
		cr_assert(eq(int, pthread_join(thread[i], NULL), 0));
	finish();
}
