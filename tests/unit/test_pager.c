/*
 * The pager without a guest: threads of the test touch memory instead of vCPUs. Images are packed
 * in memory, a frame of each says which one it is, and every byte that is read is compared.
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arriving.h"
#include "base/num.h"
#include "format/crypto/digest.h"
#include "format/crypto/lazy.h"
#include "snapshot/pager.h"
#include "snapshot/uffd.h"
#include "tests/await.h"

#define FRAMES 512u /* of memory, unless a test says otherwise */

static struct {
	struct machine m;
	struct pager *pager;
	struct image image;
	struct extent extent;
	uint64_t seed; /* of the order in which a reader touches frames */
} t;

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Half of a frame can be packed, half cannot; no page of it is zero. */
static void fill_frame(uint64_t place, uint8_t *frame)
{
	uint64_t state = (place + 1) * 0x9e3779b97f4a7c15u;

	for (size_t i = 0; i < FRAME_SIZE; i += sizeof(state)) {
		uint64_t word = i % 4096 < 2048 ? place + 1 : next_random(&state);

		memcpy(frame + i, &word, sizeof(word));
	}
}

static bool available(void)
{
	struct err err;
	int fd;

	if (uffd_open(&fd, &err) < 0) {
		fprintf(stderr, "SKIP: %s\n", err.text);
		return false;
	}
	close(fd);
	return true;
}

/* An image of `frames` data frames, all of them in one part. */
static void make_image(uint32_t frames)
{
	const struct zstd_api *zstd = lazy_zstd(NULL);
	static uint8_t frame[FRAME_SIZE], packed[2 * FRAME_SIZE];
	ZSTD_CCtx *cctx = zstd->cctx_new();
	int fd = memfd_create("part", MFD_CLOEXEC);
	uint32_t offset = 0;

	t.extent = (struct extent){.frames = frames, .kind = EXTENT_DATA};
	t.image = (struct image){
		.role = "memory.0",
		.map = {.data_frames = frames, .nextents = 1, .extents = &t.extent},
		.encoding = IMAGE_PACKED,
		.nparts = 1,
		.part_frames = frames,
		.hash_list = malloc((size_t)frames * IMAGE_HASH_SIZE),
		.table = calloc(1, sizeof(uint32_t *)),
	};
	t.image.table[0] = calloc(frames + 1u, sizeof(uint32_t));
	for (uint32_t place = 0; place < frames; place++) {
		size_t len;

		fill_frame(place, frame);
		digest_bytes(frame, sizeof(frame), t.image.hash_list + place * IMAGE_HASH_SIZE,
			     NULL);
		len = zstd->compress(cctx, packed, sizeof(packed), frame, sizeof(frame), 1);
		cr_assert(eq(i64, pwrite(fd, packed, len, offset), (int64_t)len));
		offset += (uint32_t)len;
		t.image.table[0][place + 1] = offset;
	}
	t.image.part[0] = (struct blob){.fd = fd, .len = offset};
	zstd->cctx_free(cctx);
}

/* Something else at this place of the file. */
static void damage(uint64_t place)
{
	uint64_t at = (t.image.table[0][place] + t.image.table[0][place + 1]) / 2;
	uint8_t byte;

	cr_assert(eq(i64, pread(t.image.part[0].fd, &byte, 1, (off_t)at), 1));
	byte ^= 0x10;
	cr_assert(eq(i64, pwrite(t.image.part[0].fd, &byte, 1, (off_t)at), 1));
}

static void add_run(struct layer_extents *extents, uint64_t frames, const struct image *image,
		    uint64_t place)
{
	uint64_t frame = extents->size / FRAME_SIZE;

	extents->extent = realloc(extents->extent, (extents->n + 1) * sizeof(extents->extent[0]));
	extents->extent[extents->n++] = (struct layer_extent){frame, frames, image, place};
	extents->size += frames * FRAME_SIZE;
}

/* Memory of these runs, and its pager, not started. */
static void make_pager(struct layer_extents *extents)
{
	uint64_t size = 0;
	struct err err;

	for (unsigned i = 0; i < MEM_MAX_RANGES; i++)
		size += extents[i].size;
	cr_assert(eq(int, mem_init(&t.m.mem, size, &err), 0), "%s", err.text);
	t.m.request_fd = -1;
	cr_assert(eq(int, pager_new(&t.pager, &t.m, extents, &err), 0), "%s", err.text);
}

/* All of memory is data, in the order of the file. */
static bool make_simple(void)
{
	struct layer_extents extents[MEM_MAX_RANGES] = {0};

	if (!available())
		return false;
	make_image(FRAMES);
	add_run(&extents[0], FRAMES, &t.image, 0);
	make_pager(extents);
	return true;
}

static void start(enum pager_fill fill)
{
	struct err err;

	cr_assert(eq(int, pager_start(t.pager, fill, &err), 0), "%s", err.text);
}

static struct pager_stats stats(void)
{
	struct pager_stats s;

	pager_stats(t.pager, &s);
	return s;
}

/* Counts follow: whoever waits for a frame is woken before it is counted. */
static void await_present(uint64_t frames)
{
	AWAIT(stats().present >= frames);
	cr_assert(ge(u64, stats().present, frames));
}

static uint8_t *host_of(uint64_t frame)
{
	return t.m.mem.range[0].host + frame * FRAME_SIZE;
}

static bool holds(const uint8_t *host, uint64_t place)
{
	uint8_t expected[FRAME_SIZE];

	fill_frame(place, expected);
	return memcmp(host, expected, FRAME_SIZE) == 0;
}

static void teardown(void)
{
	pager_stop(t.pager);
	mem_free(&t.m.mem);
	if (t.image.part[0].fd > 0)
		close(t.image.part[0].fd);
	free(t.image.hash_list);
	if (t.image.table != NULL)
		free(t.image.table[0]);
	free(t.image.table);
}

TestSuite(pager, .fini = teardown);

/* Touch a random page of every frame in random order, from where nobody else began. Returns how
 * many frames hold something else than they should. */
static void *reader(void *arg)
{
	uint64_t state = (uint64_t)(uintptr_t)arg * 0x9e3779b97f4a7c15u + t.seed + 1;
	uint64_t frame = next_random(&state) % FRAMES, step = next_random(&state) | 1;
	uintptr_t wrong = 0;

	for (unsigned i = 0; i < FRAMES; i++, frame = (frame + step) % FRAMES) {
		uint8_t expected[FRAME_SIZE];
		size_t at = next_random(&state) % 16 * 4096 + 3;

		fill_frame(frame, expected);
		wrong += ((volatile uint8_t *)host_of(frame))[at] != expected[at];
		wrong += !holds(host_of(frame), frame);
	}
	return (void *)wrong;
}

static void read_all(unsigned readers)
{
	pthread_t thread[8];

	for (uintptr_t i = 0; i < readers; i++)
		pthread_create(&thread[i], NULL, reader, (void *)i);
	for (unsigned i = 0; i < readers; i++) {
		void *wrong;

		pthread_join(thread[i], &wrong);
		cr_expect(eq(ptr, wrong, NULL));
	}
}

Test(pager, faults_alone_bring_everything)
{
	if (!make_simple())
		return;
	start(PAGER_FILL_NONE);
	read_all(4);
	await_present(FRAMES);
	cr_assert(eq(u64, stats().faults, FRAMES));
	cr_assert(eq(u64, stats().frames, FRAMES));
	cr_assert(eq(u64, stats().filled, 0));
	cr_assert(ge(u64, stats().fault_ns_sum, stats().fault_ns_max));
	cr_assert(ge(u64, stats().fault_ns_max, 1));
}

Test(pager, faults_and_fills_together)
{
	if (!make_simple())
		return;
	for (enum pager_fill fill = PAGER_FILL_NONE; fill <= PAGER_FILL_FULL; fill++) {
		t.seed = 1000u * fill;
		if (fill > PAGER_FILL_NONE) {
			struct layer_extents extents[MEM_MAX_RANGES] = {0};

			pager_stop(t.pager);
			mem_free(&t.m.mem);
			add_run(&extents[0], FRAMES, &t.image, 0);
			make_pager(extents);
		}
		start(fill);
		read_all(3);
		await_present(FRAMES);
		cr_assert(eq(u64, stats().faults + stats().filled, FRAMES));
	}
}

Test(pager, the_fill_brings_what_nobody_touches)
{
	if (!make_simple())
		return;
	start(PAGER_FILL_FULL);
	await_present(FRAMES);
	cr_assert(eq(u64, stats().filled, FRAMES));
	cr_assert(eq(u64, stats().faults, 0));
	for (uint64_t frame = 0; frame < FRAMES; frame++)
		cr_assert(holds(host_of(frame), frame), "frame %llu", (unsigned long long)frame);
}

Test(pager, the_fill_can_be_changed_at_any_time)
{
	struct err err;
	uint64_t present;

	if (!make_simple())
		return;
	start(PAGER_FILL_NONE);
	usleep(20000);
	cr_assert(eq(u64, stats().present, 0));
	cr_assert(eq(int, pager_set_fill(t.pager, PAGER_FILL_IDLE, &err), 0));
	await_present(1);
	cr_assert(eq(int, pager_set_fill(t.pager, PAGER_FILL_NONE, &err), 0));
	present = stats().present;
	cr_assert(eq(int, stats().fill, PAGER_FILL_NONE));
	usleep(20000);
	/* The idle fill has one thread, which may have a frame in hand. */
	cr_assert(le(u64, stats().present, present + 1));
	cr_assert(eq(int, pager_set_fill(t.pager, PAGER_FILL_FULL, &err), 0));
	await_present(FRAMES);
	read_all(1);
	cr_assert(eq(int, pager_set_fill(t.pager, PAGER_FILL_IDLE, &err), 0));
}

Test(pager, it_can_be_stopped_in_the_middle)
{
	if (!make_simple())
		return;
	start(PAGER_FILL_FULL);
	await_present(5);
	cr_assert(holds(host_of(FRAMES - 1), FRAMES - 1));
	pager_stop(t.pager);
	t.pager = NULL;
}

/* Every other frame is zero, too many runs for spans of their own; the data lies backwards. */
static void many_runs(uint32_t frames)
{
	struct layer_extents extents[MEM_MAX_RANGES] = {0};

	make_image(frames / 2);
	for (uint32_t i = 0; i < frames / 2; i++) {
		add_run(&extents[0], 1, NULL, 0);
		add_run(&extents[0], 1, &t.image, frames / 2 - 1 - i);
	}
	make_pager(extents);
	start(PAGER_FILL_NONE);
	for (uint32_t i = 0; i < frames / 2; i += 7) {
		cr_assert(is_zero(host_of(2 * i), FRAME_SIZE));
		cr_assert(holds(host_of(2 * i + 1), frames / 2 - 1 - i));
		host_of(2 * i)[5000] = 1;
		cr_assert(is_zero(host_of(2 * i) + 5001, FRAME_SIZE - 5001));
	}
	await_present((frames / 2 + 6) / 7);
	cr_assert(eq(u64, stats().present, (frames / 2 + 6) / 7));
}

Test(pager, a_thousand_runs)
{
	if (available())
		many_runs(1000);
}

Test(pager, more_runs_than_the_kernel_should_have_mappings)
{
	if (available())
		many_runs(2 * 4200);
}

Test(pager, both_ranges_are_paged)
{
	struct layer_extents extents[MEM_MAX_RANGES] = {0};

	if (!available())
		return;
	make_image(20);
	add_run(&extents[0], 3, &t.image, 0);
	add_run(&extents[0], GIB(3) / FRAME_SIZE - 3, NULL, 0);
	add_run(&extents[1], 5, NULL, 0);
	add_run(&extents[1], 7, &t.image, 11);
	make_pager(extents);
	start(PAGER_FILL_NONE);
	cr_assert(eq(uint, t.m.mem.nranges, 2));
	cr_assert(holds(t.m.mem.range[1].host + 11 * FRAME_SIZE, 17));
	cr_assert(holds(t.m.mem.range[0].host + 2 * FRAME_SIZE, 2));
	cr_assert(is_zero(t.m.mem.range[1].host + 4 * FRAME_SIZE, FRAME_SIZE));
	cr_assert(eq(u64, stats().frames, 10));
	await_present(2);
	cr_assert(eq(u64, stats().present, 2));
}

Test(pager, another_size_is_refused)
{
	struct layer_extents extents[MEM_MAX_RANGES] = {0};
	struct err err;

	if (!available())
		return;
	cr_assert(eq(int, mem_init(&t.m.mem, MIB(2), &err), 0));
	add_run(&extents[0], 33, NULL, 0);
	cr_assert(lt(int, pager_new(&t.pager, &t.m, extents, &err), 0));
	cr_assert(eq(int, err.kind, ERR_INTEGRITY));
	cr_assert(eq(ptr, t.pager, NULL));
	cr_assert(eq(ptr, extents[0].extent, NULL));
}

Test(pager, what_is_all_zero_needs_no_thread)
{
	struct layer_extents extents[MEM_MAX_RANGES] = {0};

	if (!available())
		return;
	add_run(&extents[0], 32, NULL, 0);
	make_pager(extents);
	start(PAGER_FILL_FULL);
	cr_assert(is_zero(host_of(0), 32 * FRAME_SIZE));
	cr_assert(eq(u64, stats().frames, 0));
}

/* Frames that are there already may be mapped from a file, which cannot be registered. */
Test(pager, hot_frames_stay_as_they_are)
{
	int fd = memfd_create("hot", MFD_CLOEXEC);

	if (!make_simple())
		return;
	cr_assert(eq(int, ftruncate(fd, 2 * FRAME_SIZE), 0));
	cr_assert(eq(i64, pwrite(fd, "hot", 3, 0), 3));
	for (uint64_t frame = 100; frame < 102; frame++)
		pager_mark_present(t.pager, 0, frame);
	cr_assert(eq(ptr,
		     mmap(host_of(100), 2 * FRAME_SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_FIXED, fd, 0),
		     host_of(100)));
	start(PAGER_FILL_IDLE);
	cr_assert_arr_eq(host_of(100), "hot", 3);
	cr_assert(holds(host_of(99), 99));
	cr_assert(holds(host_of(102), 102));
	await_present(FRAMES - 2);
	cr_assert(eq(u64, stats().frames, FRAMES - 2));
	cr_assert_arr_eq(host_of(100), "hot", 3);
	close(fd);
}

/* The kernel touches memory on our behalf: KVM does, and so does write(2). */
Test(pager, system_calls_wait_too)
{
	uint8_t *got = malloc(FRAME_SIZE);
	int fd = memfd_create("out", MFD_CLOEXEC);

	if (!make_simple())
		return;
	start(PAGER_FILL_NONE);
	cr_assert(eq(i64, pwrite(fd, host_of(300), FRAME_SIZE, 0), FRAME_SIZE));
	cr_assert(eq(i64, pread(fd, got, FRAME_SIZE, 0), FRAME_SIZE));
	cr_assert(holds(got, 300));
	cr_assert(eq(i64, pread(fd, host_of(301) + 100, 8, 0), 8));
	fill_frame(301, got);
	cr_assert_arr_eq(host_of(301), got, 100);
	cr_assert_arr_eq(host_of(301) + 108, got + 108, FRAME_SIZE - 108);
	free(got);
	close(fd);
}

Test(pager, a_saver_is_told_what_the_file_still_has)
{
	if (!make_simple())
		return;
	start(PAGER_FILL_NONE);
	cr_assert(pager_is_absent(t.pager, 0, 7));
	host_of(7)[4096] = 1;
	cr_assert_not(pager_is_absent(t.pager, 0, 7));
	cr_assert(pager_is_absent(t.pager, 0, 8));
	cr_assert(eq(u64, layer_extents_find(pager_extents(t.pager, 0), 8)->frames, FRAMES));
}

static void discard(uint64_t offset, uint64_t len)
{
	mem_discard(&t.m.mem, t.m.mem.range[0].host + offset, len);
}

Test(pager, discarded_frames_are_zero_for_good)
{
	uint8_t frame[FRAME_SIZE];

	if (!make_simple())
		return;
	start(PAGER_FILL_NONE);
	/* Half of frame 10, 11 and 12, a page of 13. */
	discard(10 * FRAME_SIZE + FRAME_SIZE / 2, 5 * FRAME_SIZE / 2 + 4096);
	await_present(4);
	cr_assert(eq(u64, stats().present, 4));
	cr_assert(eq(u64, stats().faults, 2));
	fill_frame(10, frame);
	cr_assert_arr_eq(host_of(10), frame, FRAME_SIZE / 2);
	cr_assert(is_zero(host_of(10) + FRAME_SIZE / 2, 5 * FRAME_SIZE / 2 + 4096));
	fill_frame(13, frame);
	cr_assert_arr_eq(host_of(13) + 4096, frame + 4096, FRAME_SIZE - 4096);
}

Test(pager, a_page_may_be_discarded_again_and_again)
{
	uint8_t frame[FRAME_SIZE];

	if (!make_simple())
		return;
	start(PAGER_FILL_NONE);
	fill_frame(20, frame);
	for (unsigned i = 0; i < 3; i++) {
		discard(20 * FRAME_SIZE + 8192, 4096);
		memset(frame + 8192, 0, 4096);
		cr_assert_arr_eq(host_of(20), frame, FRAME_SIZE);
		frame[8192] = host_of(20)[8192] = 7;
	}
	cr_assert(eq(u64, stats().faults, 1));
}

Test(pager, discarding_races_with_everything)
{
	pthread_t thread;
	void *wrong;

	if (!make_simple())
		return;
	start(PAGER_FILL_FULL);
	pthread_create(&thread, NULL, reader, NULL);
	for (uint64_t frame = 0; frame < FRAMES; frame += 2) {
		discard(frame * FRAME_SIZE, FRAME_SIZE);
		cr_assert(is_zero(host_of(frame), FRAME_SIZE));
	}
	pthread_join(thread, &wrong);
	await_present(FRAMES);
	for (uint64_t frame = 0; frame < FRAMES; frame += 2) {
		cr_assert(is_zero(host_of(frame), FRAME_SIZE));
		cr_assert(holds(host_of(frame + 1), frame + 1));
	}
}

Test(pager, a_damaged_frame_breaks_the_machine)
{
	if (!make_simple())
		return;
	damage(77);
	start(PAGER_FILL_NONE);
	cr_assert(holds(host_of(76), 76));
	cr_assert_not(machine_is_broken(&t.m));
	cr_assert(is_zero(host_of(77), FRAME_SIZE)); /* nothing of what the file has */
	cr_assert(machine_is_broken(&t.m));
	cr_assert_str_eq(t.m.failure.text, "frame 77 of memory.0: SHA-256 differs");
	cr_assert(eq(int, t.m.failure.kind, ERR_INTEGRITY));
	cr_assert(pager_is_absent(t.pager, 0, 77));
	/* Who waits for another one is served all the same. */
	cr_assert(holds(host_of(78), 78));
}

Test(pager, a_damaged_frame_that_the_fill_finds_too)
{
	if (!make_simple())
		return;
	damage(77);
	start(PAGER_FILL_IDLE);
	AWAIT(machine_is_broken(&t.m));
	cr_assert(machine_is_broken(&t.m));
	usleep(20000);
	cr_assert(lt(u64, stats().present, FRAMES - 1));
	cr_assert(is_zero(host_of(77), FRAME_SIZE));
}

Test(pager, a_file_that_cannot_be_read_breaks_the_machine)
{
	if (!make_simple())
		return;
	start(PAGER_FILL_NONE);
	cr_assert(eq(int, ftruncate(t.image.part[0].fd, t.image.table[0][400] + 100), 0));
	cr_assert(holds(host_of(399), 399));
	cr_assert(is_zero(host_of(400), FRAME_SIZE));
	cr_assert(machine_is_broken(&t.m));
	cr_assert_str_not_empty(t.m.failure.text);
}

/* --- files that arrive --- */

#define HOT_FRAMES 20u

static struct arriving w;

/* Its part, and a hot set of every seventh frame. */
static bool make_arriving(bool hot)
{
	struct layer_extents extents[MEM_MAX_RANGES] = {0};
	int fds[2] = {-1, memfd_create("hot", MFD_CLOEXEC)};
	static uint8_t frame[FRAME_SIZE];

	if (!available())
		return false;
	make_image(FRAMES);
	fds[0] = t.image.part[0].fd;
	t.image.checked = true;
	t.image.hot_at = calloc(FRAMES, sizeof(t.image.hot_at[0]));
	t.image.hot_place = calloc(HOT_FRAMES, sizeof(t.image.hot_place[0]));
	for (uint32_t i = 0; i < HOT_FRAMES; i++) {
		t.image.hot_place[i] = i * 7;
		t.image.hot_at[i * 7] = hot ? i + 1 : 0;
		fill_frame(i * 7, frame);
		cr_assert(eq(i64, pwrite(fds[1], frame, FRAME_SIZE, (off_t)i * FRAME_SIZE),
			     FRAME_SIZE));
	}
	arriving_begin(&w, fds, 2);
	t.image.part[0] = w.blob[0];
	t.image.hot = w.blob[1];
	if (!hot) {
		free(t.image.hot_place);
		t.image.hot_place = NULL;
	}
	add_run(&extents[0], FRAMES, &t.image, 0);
	make_pager(extents);
	return true;
}

static void end_arriving(void)
{
	pager_stop(t.pager);
	t.pager = NULL;
	t.image.part[0].fd = -1;
	arriving_end(&w);
	free(t.image.hot_at);
	free(t.image.hot_place);
}

Test(pager, frames_are_waited_for_until_they_arrive)
{
	pthread_t thread[6];

	w.lazy = true;
	if (!make_arriving(true))
		return;
	start(PAGER_FILL_IDLE);
	for (uintptr_t i = 0; i < ARRAY_SIZE(thread); i++)
		cr_assert(eq(int, pthread_create(&thread[i], NULL, reader, (void *)(i + 1)), 0));
	for (unsigned i = 0; i < ARRAY_SIZE(thread); i++) {
		void *wrong;

		pthread_join(thread[i], &wrong);
		cr_expect(eq(ptr, wrong, NULL));
	}
	await_present(FRAMES);
	end_arriving();
}

Test(pager, the_fill_asks_for_nothing_but_the_hot_set)
{
	struct arrivals_status status;

	w.lazy = true;
	if (!make_arriving(true))
		return;
	start(PAGER_FILL_FULL);
	await_present(HOT_FRAMES);
	arrivals_status(w.reader, &status);
	cr_expect(eq(u64, status.there, HOT_FRAMES * FRAME_SIZE));
	/* What is touched comes, and with it what lies in the same blocks, if that is whole. */
	cr_assert(holds(host_of(1), 1));
	arrivals_status(w.reader, &status);
	cr_expect(ge(u64, HOT_FRAMES * FRAME_SIZE + 2 * FRAME_SIZE, status.there));
	atomic_store(&w.lazy, false);
	await_present(FRAMES);
	cr_expect(eq(u64, stats().faults, 1));
	end_arriving();
}

static void *touch(void *arg)
{
	return (void *)(uintptr_t)(*(volatile uint8_t *)arg == 0);
}

/* Discarding does not wait for what is on its way, nor is that put in later. */
Test(pager, a_frame_that_is_waited_for_can_be_discarded)
{
	pthread_t thread;
	void *zero;

	w.away = true;
	if (!make_arriving(false))
		return;
	start(PAGER_FILL_NONE);
	cr_assert(eq(int, pthread_create(&thread, NULL, touch, host_of(3)), 0));
	AWAIT(arrivals_waiting(w.reader) == 1);
	mem_discard(&t.m.mem, host_of(3), FRAME_SIZE);
	atomic_store(&w.away, false);
	pthread_join(thread, &zero);
	cr_expect_not_null(zero);
	cr_expect(is_zero(host_of(3), FRAME_SIZE));
	cr_expect(holds(host_of(4), 4));
	end_arriving();
}

Test(pager, a_machine_that_ends_waits_for_nothing)
{
	pthread_t thread[3];

	w.away = true;
	if (!make_arriving(false))
		return;
	start(PAGER_FILL_FULL);
	for (unsigned i = 0; i < ARRAY_SIZE(thread); i++)
		cr_assert(eq(int, pthread_create(&thread[i], NULL, touch, host_of(100 * i)), 0));
	AWAIT(stats().faults == 0 && arrivals_waiting(w.reader) >= 2);
	pager_give_up(t.pager);
	for (unsigned i = 0; i < ARRAY_SIZE(thread); i++) {
		void *zero;

		pthread_join(thread[i], &zero);
		cr_expect_not_null(zero);
	}
	cr_expect(machine_is_broken(&t.m));
	end_arriving();
}

Test(pager, a_wrong_frame_is_fetched_again_and_then_breaks_the_machine)
{
	for (unsigned times = 1; times <= 2; times++) {
		if (times > 1)
			teardown();
		memset(&w, 0, sizeof(w));
		memset(&t, 0, sizeof(t));
		w.spoil_times = times;
		w.spoil_at = 1000;
		w.lazy = true;
		if (!make_arriving(false))
			return;
		start(PAGER_FILL_NONE);
		cr_expect(eq(int, holds(host_of(0), 0), times == 1));
		cr_expect(eq(u32, atomic_load(&w.again), 1));
		cr_expect(eq(int, machine_is_broken(&t.m), times == 2));
		if (times == 2)
			cr_expect_not_null(strstr(t.m.failure.text, "frame 0 of memory.0"));
		end_arriving();
	}
}
