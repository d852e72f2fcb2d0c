/* Images packed and read again, frame by frame, by themselves and in files. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arriving.h"
#include "base/num.h"
#include "format/archive.h"
#include "format/image/frame_reader.h"
#include "format/image/image_pack.h"
#include "sample.h"

TestSuite(packed, .init = sample_begin, .fini = sample_end);

#define FRAMES	    150u /* of which every third is zero */
#define DATA_FRAMES 100u
#define PART_FRAMES 30u

/* The data of the sample's image 1 as a source, of which one frame cannot be read. */
struct source {
	struct image_source source;
	uint64_t bad;
};

static int read_frame(void *opaque, uint64_t index, uint8_t *scratch, const uint8_t **data,
		      enum extent_kind *kind, struct err *err)
{
	const struct source *s = opaque;

	if (index == s->bad)
		return err_set(err, ERR_FAILED, "a bad sector");
	*kind = index % 3 == 2 ? EXTENT_ZERO : EXTENT_DATA;
	*data = scratch;
	if (*kind == EXTENT_DATA && scratch != NULL)
		sample_frame(1, index, scratch);
	return 0;
}

static void init_source(struct source *s)
{
	*s = (struct source){.bad = UINT64_MAX};
	s->source = (struct image_source){
		.size = FRAMES * (uint64_t)FRAME_SIZE,
		.opaque = s,
		.frame = read_frame,
		.exact = true,
	};
}

static uint64_t data_frame(uint64_t place)
{
	return place / 2 * 3 + place % 2;
}

/* A sink that puts the parts into one file and counts; it refuses its call number `refuse`. */
struct sink {
	struct image_sink sink;
	int fd;
	struct image image; /* its parts, once they have ended */
	uint64_t at;	    /* the part's begin */
	uint64_t end;
	unsigned calls;
	unsigned refuse;
	atomic_int inside;
};

static int enter(struct sink *s, struct err *err)
{
	cr_assert_eq(atomic_fetch_add(&s->inside, 1), 0, "two calls at once");
	cr_assert(s->refuse == 0 || s->calls < s->refuse, "called again after it failed");
	return ++s->calls == s->refuse ? err_set(err, ERR_FAILED, "the sink is full") : 0;
}

static int take(void *opaque, const void *data, size_t len, struct err *err)
{
	struct sink *s = opaque;
	int ret = enter(s, err);

	if (ret == 0) {
		cr_assert(pwrite(s->fd, data, len, (off_t)s->end) == (ssize_t)len);
		s->end += len;
	}
	atomic_fetch_sub(&s->inside, 1);
	return ret;
}

static int end(void *opaque, uint32_t index, uint64_t size, const uint8_t *digest, struct err *err)
{
	struct sink *s = opaque;
	int ret = enter(s, err);

	if (ret == 0) {
		cr_assert(eq(u32, index, s->image.nparts));
		cr_assert(eq(u64, size, s->end - s->at));
		s->image.part[index] = (struct blob){.fd = s->fd, .offset = s->at, .len = size};
		memcpy(s->image.part_digest[index], digest, IMAGE_HASH_SIZE);
		s->image.nparts++;
		s->at = s->end;
	}
	atomic_fetch_sub(&s->inside, 1);
	return ret;
}

static void init_sink(struct sink *s)
{
	memset(s, 0, sizeof(*s));
	s->sink = (struct image_sink){take, end, s};
	s->fd = memfd_create("packed", MFD_CLOEXEC);
}

static int pack(struct source *source, struct sink *sink, struct image_plan *plan, int level,
		struct err *err)
{
	int ret = image_scan(plan, &source->source, NULL, err);

	if (ret < 0)
		return ret;
	ret = image_plan_packed(plan, PART_FRAMES, 16, err);
	return ret < 0 ? ret : image_pack(plan, level, &sink->sink, err);
}

/* The image that a reader of the file would have. */
static void finish(struct sink *s, struct image_plan *plan)
{
	struct image *image = &s->image;

	image->role = "memory.0";
	image->encoding = IMAGE_PACKED;
	image->part_frames = plan->part_frames;
	image->map = plan->map;
	image->hash_list = plan->hashes;
	plan->map = (struct image_map){0};
	plan->hashes = NULL;
	image->table = calloc(image->nparts, sizeof(image->table[0]));
	for (uint32_t i = 0; i < image->nparts; i++) {
		struct err err = {0};

		cr_assert(eq(int, image_load_table(image, i * (uint64_t)PART_FRAMES, &err), 0),
			  "%s", err.text);
	}
	image_plan_free(plan);
}

static void make_image(struct sink *sink, int level)
{
	struct image_plan plan;
	struct source source;
	struct err err = {0};

	init_source(&source);
	init_sink(sink);
	cr_assert(eq(int, pack(&source, sink, &plan, level, &err), 0), "%s", err.text);
	finish(sink, &plan);
}

static void drop_image(struct sink *s)
{
	close(s->fd);
	image_free(&s->image);
}

static void check_digests(const struct image *image)
{
	for (uint32_t i = 0; i < image->nparts; i++) {
		uint8_t *bytes = malloc(image->part[i].len), digest[DIGEST_SIZE];

		cr_assert(
			eq(int, blob_read(&image->part[i], 0, bytes, image->part[i].len, NULL), 0));
		cr_assert(eq(int, digest_bytes(bytes, image->part[i].len, digest, NULL), 0));
		cr_assert_arr_eq(digest, image->part_digest[i], DIGEST_SIZE);
		free(bytes);
	}
}

static void check_frames(struct frame_reader *reader, const struct image *image)
{
	uint8_t expected[FRAME_SIZE], got[FRAME_SIZE];

	for (uint64_t place = 0; place < image->map.data_frames; place++) {
		struct err err = {0};

		cr_assert(eq(int, frame_read(reader, image, place, got, &err), 0), "%s", err.text);
		sample_frame(1, data_frame(place), expected);
		cr_assert_arr_eq(got, expected, FRAME_SIZE);
	}
}

/* Neither parts nor their last jobs come out even. */
Test(packed, all_frames_come_back)
{
	static const int levels[] = {1, 3, 19};
	static struct sink sink[ARRAY_SIZE(levels)];
	struct frame_reader *reader;

	cr_assert(eq(int, frame_reader_new(&reader, NULL), 0));
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
		make_image(&sink[i], levels[i]);
		cr_assert(eq(u32, sink[i].image.nparts, 4));
		cr_assert(eq(u64, sink[i].image.map.data_frames, DATA_FRAMES));
		check_digests(&sink[i].image);
		check_frames(reader, &sink[i].image);
		cr_assert_arr_eq(sink[i].image.hash_list, sink[0].image.hash_list,
				 DATA_FRAMES * IMAGE_HASH_SIZE, "level %d", levels[i]);
	}
	frame_reader_free(reader);
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
		drop_image(&sink[i]);
}

Test(packed, an_image_without_data_has_no_parts)
{
	struct image_source nothing;
	struct image_plan plan;
	struct source source;
	struct sink sink;

	init_source(&source);
	nothing = source.source;
	nothing.size = FRAME_SIZE;
	init_sink(&sink);
	cr_assert(eq(int, image_scan(&plan, &nothing, NULL, NULL), 0));
	/* Its only frame is made zero. */
	plan.map.extents[0].kind = EXTENT_ZERO;
	plan.map.data_frames = 0;
	cr_assert(eq(int, image_plan_packed(&plan, PART_FRAMES, 16, NULL), 0));
	cr_assert(eq(int, image_pack(&plan, 3, &sink.sink, NULL), 0));
	cr_assert(eq(uint, sink.calls, 0));
	image_plan_free(&plan);
	close(sink.fd);
}

/* A disk of TiB; offsets in a part have 32 bits. */
Test(packed, no_part_is_larger_than_a_reader_takes)
{
	static const uint64_t gib[] = {1, 8, 100, 288};
	struct image_plan plan;
	struct err err = {0};

	for (size_t i = 0; i < ARRAY_SIZE(gib); i++) {
		uint64_t frames = 0;

		memset(&plan, 0, sizeof(plan));
		plan.map.data_frames = gib[i] * (GIB(1) / FRAME_SIZE);
		cr_assert(eq(int, image_plan_packed(&plan, 8192, 1, &err), 0), "%s", err.text);
		for (uint32_t part = 0; part < plan.nparts; part++) {
			cr_assert(le(u64, plan.part[part].frames * (FRAME_SIZE + 256), UINT32_MAX));
			frames += plan.part[part].frames;
		}
		cr_assert(eq(u64, frames, plan.map.data_frames));
	}
	plan.map.data_frames = 289 * (GIB(1) / FRAME_SIZE);
	cr_assert(lt(int, image_plan_packed(&plan, 8192, 16, &err), 0));
	cr_assert_str_eq(err.text, "289 GiB of data are too much to be packed");
}

/* Wherever it fails, the others stop waiting for their turn. */
Test(packed, a_sink_that_fails_ends_it)
{
	struct image_plan plan;
	struct source source;
	struct sink sink;
	unsigned calls;

	make_image(&sink, 1);
	calls = sink.calls;
	drop_image(&sink);
	init_source(&source);
	for (unsigned refuse = 1; refuse <= calls; refuse++) {
		struct err err = {0};

		init_sink(&sink);
		sink.refuse = refuse;
		cr_assert(lt(int, pack(&source, &sink, &plan, 1, &err), 0));
		cr_assert_str_eq(err.text, "the sink is full");
		image_plan_free(&plan);
		close(sink.fd);
	}
}

Test(packed, a_source_that_fails_ends_it)
{
	struct image_plan plan;
	struct source source;
	struct sink sink;

	init_source(&source);
	for (uint64_t bad = 0; bad < FRAMES; bad += 7) {
		struct err err = {0};

		init_sink(&sink);
		source.bad = UINT64_MAX;
		cr_assert(eq(int, image_scan(&plan, &source.source, NULL, &err), 0));
		cr_assert(eq(int, image_plan_packed(&plan, PART_FRAMES, 16, &err), 0));
		source.bad = data_frame(bad * DATA_FRAMES / FRAMES);
		cr_assert(lt(int, image_pack(&plan, 1, &sink.sink, &err), 0));
		cr_assert_str_eq(err.text, "a bad sector");
		image_plan_free(&plan);
		close(sink.fd);
	}
	source.bad = 5;
	cr_assert(lt(int, image_scan(&plan, &source.source, NULL, NULL), 0));
	image_plan_free(&plan);
}

/* Every byte of a packed frame counts: it unpacks to something else, or not at all. */
Test(packed, a_damaged_frame_is_refused_by_name)
{
	struct frame_reader *reader;
	uint8_t frame[FRAME_SIZE];
	struct sink sink;

	cr_assert(eq(int, frame_reader_new(&reader, NULL), 0));
	make_image(&sink, 3);
	for (uint64_t place = 0; place < DATA_FRAMES; place += 11) {
		struct blob blob = image_packed_place(&sink.image, place);

		for (uint64_t at = 0; at < blob.len; at += blob.len / 5) {
			struct err err = {0};
			char name[64];
			uint8_t byte;

			cr_assert(pread(blob.fd, &byte, 1, (off_t)(blob.offset + at)) == 1);
			byte ^= 0x55;
			cr_assert(pwrite(blob.fd, &byte, 1, (off_t)(blob.offset + at)) == 1);
			cr_assert(lt(int, frame_read(reader, &sink.image, place, frame, &err), 0));
			cr_assert(eq(int, (int)err.kind, ERR_INTEGRITY));
			snprintf(name, sizeof(name),
				 "frame %d of memory.0: ", (int)data_frame(place));
			cr_assert_eq(strncmp(err.text, name, strlen(name)), 0, "%s", err.text);
			byte ^= 0x55;
			cr_assert(pwrite(blob.fd, &byte, 1, (off_t)(blob.offset + at)) == 1);
		}
	}
	check_frames(reader, &sink.image);
	frame_reader_free(reader);
	drop_image(&sink);
}

static void refuse(struct frame_reader *reader, const struct image *image, uint64_t place,
		   const char *why)
{
	uint8_t frame[FRAME_SIZE];
	struct err err = {0};

	cr_assert(lt(int, frame_read(reader, image, place, frame, &err), 0));
	cr_assert(eq(int, (int)err.kind, ERR_INTEGRITY));
	cr_assert_not_null(strstr(err.text, why), "%s", err.text);
}

/* As when its file is fetched: nothing has come yet, and no table is read. */
static void let_arrive(struct sink *s, struct arriving *w)
{
	int whole = dup(s->fd);

	arriving_begin(w, &whole, 1);
	s->image.checked = true;
	for (uint32_t i = 0; i < s->image.nparts; i++) {
		free(s->image.table[i]);
		s->image.table[i] = NULL;
		s->image.part[i].fd = w->blob[0].fd;
		s->image.part[i].arrival = w->blob[0].arrival;
	}
}

Test(packed, a_seek_table_that_arrives_is_read_when_it_is_used)
{
	struct arriving w = {.lazy = true};
	struct frame_reader *reader;
	uint8_t frame[FRAME_SIZE];
	struct sink sink;

	cr_assert(eq(int, frame_reader_new(&reader, NULL), 0));
	make_image(&sink, 3);
	let_arrive(&sink, &w);
	cr_expect(not(image_frame_is_there(&sink.image, 95)));
	cr_expect_null(sink.image.table[3], "nobody has waited for it");
	cr_assert(eq(int, frame_read(reader, &sink.image, 95, frame, NULL), 0));
	cr_expect_not_null(sink.image.table[3]);
	cr_expect(image_frame_is_there(&sink.image, 95));
	image_want_frames(&sink.image, PART_FRAMES - 2, 4);
	cr_expect_not_null(sink.image.table[0]);
	cr_expect_not_null(sink.image.table[1]);
	cr_expect_null(sink.image.table[2]);
	check_frames(reader, &sink.image);
	cr_expect(eq(u32, atomic_load(&w.again), 0));
	arriving_end(&w);
	frame_reader_free(reader);
	drop_image(&sink);
}

/* Whoever fills memory in the background, and asks for nothing, finds what has come. */
Test(packed, a_seek_table_that_has_arrived_is_read_by_who_asks_whether_a_frame_has)
{
	struct arriving w = {.lazy = true};
	struct blob table;
	struct sink sink;

	make_image(&sink, 3);
	let_arrive(&sink, &w);
	table = image_table_place(&sink.image, 1);
	cr_assert(eq(int, arrival_await(table.arrival, 0, sink.image.part[2].offset, NULL), 0));
	cr_expect(image_frame_is_there(&sink.image, PART_FRAMES));
	cr_expect_not_null(sink.image.table[1]);
	arriving_end(&w);
	drop_image(&sink);
}

Test(packed, a_seek_table_that_arrives_wrong_is_fetched_once_more)
{
	static const unsigned times[] = {1, 1000};

	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		struct arriving w = {.lazy = true, .spoil_times = times[i]};
		struct frame_reader *reader;
		struct sink sink;

		cr_assert(eq(int, frame_reader_new(&reader, NULL), 0));
		make_image(&sink, 3);
		w.spoil_at = sink.image.part[2].offset + sink.image.part[2].len - 20;
		let_arrive(&sink, &w);
		if (times[i] == 1)
			check_frames(reader, &sink.image);
		else
			refuse(reader, &sink.image, 2 * PART_FRAMES,
			       "frame 90 of memory.0: its seek table is damaged");
		cr_expect(eq(u32, atomic_load(&w.again), 1));
		arriving_end(&w);
		frame_reader_free(reader);
		drop_image(&sink);
	}
}

Test(packed, a_frame_is_what_the_hash_list_says)
{
	struct frame_reader *reader;
	struct sink sink;
	uint32_t *offset;

	cr_assert(eq(int, frame_reader_new(&reader, NULL), 0));
	make_image(&sink, 3);
	sink.image.hash_list[40 * IMAGE_HASH_SIZE + 31] ^= 1;
	refuse(reader, &sink.image, 40, "frame 60 of memory.0: SHA-256 differs");
	sink.image.hash_list[40 * IMAGE_HASH_SIZE + 31] ^= 1;
	/* Another frame in its place; two at once; half of one; far too much. */
	offset = sink.image.table[0] + 1;
	offset[0] = offset[1];
	refuse(reader, &sink.image, 1, "frame 1 of memory.0: ");
	offset[0] = 0;
	refuse(reader, &sink.image, 1, "frame 1 of memory.0: it cannot be unpacked");
	offset[0] = offset[1] - 3;
	refuse(reader, &sink.image, 1, "frame 1 of memory.0: it cannot be unpacked");
	offset[1] = offset[0] + 2 * FRAME_SIZE;
	refuse(reader, &sink.image, 1, "frame 1 of memory.0: its packed form is too long");
	frame_reader_free(reader);
	drop_image(&sink);
}

Test(packed, a_part_that_ends_early_is_damage)
{
	struct frame_reader *reader;
	struct sink sink;

	cr_assert(eq(int, frame_reader_new(&reader, NULL), 0));
	make_image(&sink, 3);
	cr_assert_eq(ftruncate(sink.fd, (off_t)sink.image.part[1].offset), 0);
	refuse(reader, &sink.image, PART_FRAMES, "frame 45 of memory.0: ");
	frame_reader_free(reader);
	drop_image(&sink);
}

struct sharing {
	struct frame_readers pool;
	const struct image *image;
	atomic_uint_fast64_t next;
};

static void *share(void *opaque)
{
	struct sharing *s = opaque;
	uint8_t expected[FRAME_SIZE], got[FRAME_SIZE];
	uint64_t n;

	while ((n = atomic_fetch_add(&s->next, 1)) < 4 * DATA_FRAMES) {
		uint64_t place = n * 37 % DATA_FRAMES;

		if (frame_readers_read(&s->pool, s->image, place, got, NULL) < 0)
			return (void *)"a frame could not be read";
		sample_frame(1, data_frame(place), expected);
		if (memcmp(got, expected, FRAME_SIZE) != 0)
			return (void *)"a frame of somebody else's";
	}
	return NULL;
}

Test(packed, many_threads_share_a_pool)
{
	struct sharing s = {.next = 0};
	pthread_t thread[8];
	struct sink sink;

	make_image(&sink, 1);
	s.image = &sink.image;
	frame_readers_init(&s.pool);
	for (size_t i = 0; i < ARRAY_SIZE(thread); i++)
		cr_assert(eq(int, pthread_create(&thread[i], NULL, share, &s), 0));
	for (size_t i = 0; i < ARRAY_SIZE(thread); i++) {
		void *complaint;

		cr_assert(eq(int, pthread_join(thread[i], &complaint), 0));
		cr_assert_null(complaint, "%s", (const char *)complaint);
	}
	frame_readers_free(&s.pool);
	drop_image(&sink);
}

static struct archive *open_ok(const char *path)
{
	struct archive *a;
	struct err err = {0};

	cr_assert(eq(int, archive_open(&a, path, &err), 0), "%s", err.text);
	return a;
}

static void write_packed(const char *path, int level)
{
	struct err err = {0};

	cr_assert(eq(int, sample_write_packed(path, level, &err), 0), "%s", err.text);
}

Test(packed, one_machine_has_one_identity_however_it_is_packed)
{
	static const int levels[] = {1, 3, 19};
	struct archive *flat, *a;
	struct err err = {0};
	char digest[DIGEST_TEXT_SIZE];

	cr_assert(eq(int, sample_write("flat.torpor", &err), 0), "%s", err.text);
	flat = open_ok("flat.torpor");
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
		write_packed("packed.torpor", levels[i]);
		a = open_ok("packed.torpor");
		cr_assert_str_eq(archive_digest(a), archive_digest(flat));
		cr_assert(eq(int, archive_image(a, "memory.0")->encoding, IMAGE_PACKED));
		cr_assert(eq(int, archive_verify(a, NULL, NULL, &err), 0), "%s", err.text);
		archive_close(a);
		cr_assert(eq(int, archive_identify("packed.torpor", digest, &err), 0));
		cr_assert_str_eq(digest, archive_digest(flat));
	}
	cr_assert_eq(sample_shell("test $(stat -c %%s packed.torpor) -lt 700000"), 0);
	archive_close(flat);
}

static bool have(const char *program)
{
	if (sample_shell("command -v %s > /dev/null", program) == 0)
		return true;
	fprintf(stderr, "SKIP: %s is not installed\n", program);
	return false;
}

Test(packed, zstd_unpacks_the_parts)
{
	struct err err = {0};

	if (!have("zstd"))
		return;
	cr_assert(eq(int, sample_write("flat.torpor", &err), 0), "%s", err.text);
	write_packed("packed.torpor", 3);
	cr_assert_eq(sample_shell("mkdir f p && tar xf flat.torpor -C f && "
				  "tar xf packed.torpor -C p"),
		     0);
	cr_assert_eq(sample_shell("for i in memory.0.0 disk.0.0 disk.0.overlay.0; do "
				  "zstd -qdc < p/$i | cmp - f/$i || exit 1; done"),
		     0);
	/* 27 frames and the table, which is skipped. */
	cr_assert_eq(sample_shell("cp p/memory.0.0 m.zst && "
				  "zstd -lv m.zst | grep -q '# Zstandard Frames: 27' && "
				  "zstd -lv m.zst | grep -q '# Skippable Frames: 1'"),
		     0);
}

struct findings {
	char text[64][160];
	unsigned n;
};

static void note(void *opaque, const char *finding)
{
	struct findings *f = opaque;

	if (f->n < ARRAY_SIZE(f->text))
		snprintf(f->text[f->n], sizeof(f->text[0]), "%s", finding);
	f->n++;
}

static bool found(const struct findings *f, const char *text)
{
	for (unsigned i = 0; i < u64_min(f->n, ARRAY_SIZE(f->text)); i++) {
		if (strstr(f->text[i], text) != NULL)
			return true;
	}
	return false;
}

static void flip(uint64_t at)
{
	int fd = open("packed.torpor", O_RDWR | O_CLOEXEC);
	uint8_t byte;

	cr_assert(pread(fd, &byte, 1, (off_t)at) == 1);
	byte ^= 0x80;
	cr_assert(pwrite(fd, &byte, 1, (off_t)at) == 1);
	close(fd);
}

Test(packed, verify_finds_a_flipped_byte_in_any_frame_and_names_it)
{
	struct archive *a;
	uint64_t place = 0, frames;

	write_packed("packed.torpor", 3);
	a = open_ok("packed.torpor");
	frames = archive_image(a, "memory.0")->map.data_frames;
	archive_close(a);
	for (; place < frames; place++) {
		struct findings f = {.n = 0};
		struct err err = {0};
		struct blob blob;
		char name[48];

		a = open_ok("packed.torpor");
		blob = image_packed_place(archive_image(a, "memory.0"), place);
		snprintf(name, sizeof(name), "frame %d of memory.0: ", (int)data_frame(place));
		flip(blob.offset + blob.len / 2);
		cr_assert(lt(int, archive_verify(a, note, &f, &err), 0));
		cr_assert(eq(int, (int)err.kind, ERR_INTEGRITY));
		cr_assert(found(&f, name), "%s: %s", name, err.text);
		archive_close(a);
		flip(blob.offset + blob.len / 2);
	}
}

/* What is not looked at when it is used is looked at before; packed frames wait until they are. */
Test(packed, ensure_verified_leaves_packed_frames_to_their_readers)
{
	struct frame_reader *reader;
	struct err err = {0};
	struct archive *a;
	struct blob packed, kernel;

	write_packed("packed.torpor", 3);
	a = open_ok("packed.torpor");
	packed = image_packed_place(archive_image(a, "disk.0"), 2);
	cr_assert(archive_blob(a, ROLE_KERNEL, &kernel));
	archive_close(a);
	flip(packed.offset + 20);
	a = open_ok("packed.torpor");
	cr_assert(eq(int, archive_ensure_verified(a, &err), 0), "%s", err.text);
	cr_assert(eq(int, frame_reader_new(&reader, NULL), 0));
	refuse(reader, archive_image(a, "disk.0"), 2, "frame 3 of disk.0: ");
	frame_reader_free(reader);
	archive_close(a);
	flip(kernel.offset + 70000);
	a = open_ok("packed.torpor");
	cr_assert(lt(int, archive_ensure_verified(a, &err), 0));
	cr_assert_not_null(strstr(err.text, "kernel: SHA-256 differs"), "%s", err.text);
	archive_close(a);
}

Test(packed, damaged_hash_lists_and_seek_tables_are_refused_when_it_is_opened)
{
	struct archive *a;
	struct blob part, hashes;

	write_packed("packed.torpor", 3);
	a = open_ok("packed.torpor");
	part = archive_image(a, "memory.0")->part[0];
	hashes = archive_image(a, "memory.0")->hashes;
	archive_close(a);
	flip(hashes.offset + 3);
	cr_assert(lt(int, archive_open(&a, "packed.torpor", NULL), 0));
	flip(hashes.offset + 3);
	flip(part.offset + part.len - 20);
	cr_assert(lt(int, archive_open(&a, "packed.torpor", NULL), 0));
	flip(part.offset + part.len - 20);
	a = open_ok("packed.torpor");
	archive_close(a);
}
