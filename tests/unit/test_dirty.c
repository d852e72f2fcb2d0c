/* Sets of frames, the notes of our own writes, and private pages of a mapping. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/num.h"
#include "tests/unit/fake_driver.h"
#include "vmm/dirty.h"
#include "vmm/frameset.h"

#define FRAMES 200u /* three words and a bit */

static unsigned count(const uint64_t *set, uint64_t frames)
{
	unsigned n = 0;

	for (uint64_t i = 0; i < frames; i++)
		n += frameset_has(set, i);
	return n;
}

Test(frameset, a_range_adds_just_its_frames)
{
	for (uint64_t first = 0; first < FRAMES; first += 3) {
		for (uint64_t last = first; last < FRAMES; last += 5) {
			uint64_t *set = frameset_new(FRAMES);

			frameset_add_range(set, first, last);
			cr_assert(eq(uint, count(set, FRAMES), (unsigned)(last - first + 1)));
			cr_assert(frameset_has(set, first) && frameset_has(set, last));
			free(set);
		}
	}
}

Test(frameset, a_page_adds_its_frame)
{
	static const unsigned per_frame[] = {1, 4, 16, 64};

	for (size_t k = 0; k < ARRAY_SIZE(per_frame); k++) {
		uint64_t pages = (uint64_t)FRAMES * per_frame[k];

		for (uint64_t page = 0; page < pages; page += 7) {
			uint64_t *set = frameset_new(FRAMES), *log = frameset_new(pages);

			frameset_add(log, page);
			frameset_add_pages(set, FRAMES, log, per_frame[k]);
			cr_assert(eq(uint, count(set, FRAMES), 1));
			cr_assert(frameset_has(set, page / per_frame[k]));
			free(set);
			free(log);
		}
	}
}

Test(frameset, sets_unite)
{
	uint64_t *a = frameset_new(FRAMES), *b = frameset_new(FRAMES);

	frameset_add(a, 3);
	frameset_add_range(b, 60, 130);
	frameset_add(b, FRAMES - 1);
	frameset_add_set(a, FRAMES, b);
	cr_assert(eq(uint, count(a, FRAMES), 73));
	cr_assert(frameset_has(a, 3) && frameset_has(a, FRAMES - 1));
	free(a);
	free(b);
}

struct adder {
	uint64_t *set;
	unsigned start;
};

static void *add_every_fourth(void *opaque)
{
	const struct adder *adder = opaque;

	for (uint64_t i = adder->start; i < 64 * 1024; i += 4)
		frameset_add(adder->set, i);
	return NULL;
}

Test(frameset, threads_lose_nothing_of_each_other)
{
	uint64_t *set = frameset_new(64 * 1024);
	struct adder adder[4];
	pthread_t thread[4];

	for (unsigned i = 0; i < 4; i++) {
		adder[i] = (struct adder){set, i};
		pthread_create(&thread[i], NULL, add_every_fourth, &adder[i]);
	}
	for (unsigned i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	cr_assert(eq(uint, count(set, 64 * 1024), 64 * 1024));
	free(set);
}

/* What a device changes, against what was noted: guest memory before and after a kick. */
struct witness {
	struct fake f;
	uint8_t before[FAKE_LOW];
};

static void look(struct witness *w)
{
	struct mem_range *r = &w->f.m.mem.range[0];

	memcpy(w->before, r->host, FAKE_LOW);
	memset(r->written, 0, frameset_bytes(r->size / FRAME_SIZE));
}

/* Returns how many frames differ; all of them are noted, and at most `spare` more. */
static unsigned expect_noted(struct witness *w, unsigned spare)
{
	const struct mem_range *r = &w->f.m.mem.range[0];
	unsigned differ = 0;

	for (unsigned i = 0; i < FAKE_LOW / FRAME_SIZE; i++) {
		size_t at = (size_t)i * FRAME_SIZE;

		if (memcmp(w->before + at, r->host + at, FRAME_SIZE) == 0)
			continue;
		differ++;
		cr_assert(frameset_has(r->written, i), "frame %u was written unnoticed", i);
	}
	cr_assert(le(uint, count(r->written, r->size / FRAME_SIZE), differ + spare));
	return differ;
}

Test(written, random_numbers)
{
	struct witness *w = calloc(1, sizeof(*w));
	/* Two buffers that end and begin inside frames, five frames in all; one to be read. */
	struct fake_seg seg[] = {{FAKE_BUFFERS + 0x80000, 16, false},
				 {FAKE_BUFFERS + 0xff00, 0x200, true},
				 {FAKE_BUFFERS + 0x4ff00, 0x8200, true}};

	fake_init(&w->f);
	fake_plug(&w->f, VIRTIO_TYPE_RNG, "rng", &(struct virtio_backend){0});
	fake_bring_up(&w->f, VIRTIO_VERSION_1 | VIRTIO_EVENT_IDX, 1, 8);
	fake_post(&w->f, 0, seg, 3);
	look(w);
	fake_kick(&w->f, 0);
	/* Two frames of each buffer, and the rings' own. */
	cr_assert(eq(uint, expect_noted(w, 0), 5));
	fake_free(&w->f);
	free(w);
}

Test(written, console_input_and_an_empty_queue)
{
	struct witness *w = calloc(1, sizeof(*w));
	struct fake_seg seg = {FAKE_BUFFERS + 0x20, 64, true};

	fake_init(&w->f);
	fake_plug(&w->f, VIRTIO_TYPE_CONSOLE, "console", &(struct virtio_backend){0});
	fake_bring_up(&w->f, VIRTIO_VERSION_1 | VIRTIO_EVENT_IDX, 4, 8);
	fake_post(&w->f, 0, &seg, 1);
	look(w);
	fake_kick(&w->f, 0);
	cr_assert(eq(uint, expect_noted(w, 0), 0), "nothing to say, nothing written");
	virtio_console_port(&w->f.v->dev, 0)
		->input(virtio_console_port(&w->f.v->dev, 0), (const uint8_t *)"input", 5);
	cr_assert(eq(uint, expect_noted(w, 0), 2));
	look(w);
	/* No buffer left: the wish for a notification is all that is written. */
	virtio_console_port(&w->f.v->dev, 0)
		->input(virtio_console_port(&w->f.v->dev, 0), (const uint8_t *)"more", 4);
	cr_assert(eq(uint, expect_noted(w, 0), 1));
	fake_free(&w->f);
	free(w);
}

/* A file of `frames` frames, each filled with its number plus 1, mapped as memory is. */
static uint8_t *map_file(unsigned frames)
{
	char path[] = "/tmp/torpor-dirty.XXXXXX";
	uint8_t *frame = malloc(FRAME_SIZE), *host;
	int fd = mkstemp(path);

	cr_assert(fd >= 0);
	unlink(path);
	for (unsigned i = 0; i < frames; i++) {
		memset(frame, (int)i + 1, FRAME_SIZE);
		cr_assert(write(fd, frame, FRAME_SIZE) == (ssize_t)FRAME_SIZE);
	}
	host = mmap(NULL, (size_t)frames * FRAME_SIZE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_NORESERVE, fd, 0);
	cr_assert(host != MAP_FAILED);
	close(fd);
	free(frame);
	return host;
}

Test(private, only_what_was_written)
{
	enum { N = 80 };
	uint8_t *host = map_file(N);
	uint64_t *set = frameset_new(N);
	volatile uint8_t *bytes = host;
	unsigned sum = 0;

	dirty_add_private(set, host, (uint64_t)N * FRAME_SIZE);
	cr_assert(eq(uint, count(set, N), 0), "nothing was touched");
	for (unsigned i = 0; i < N / 2; i++)
		sum += bytes[(size_t)i * FRAME_SIZE];
	cr_assert(eq(uint, sum, 40 * 41 / 2));
	dirty_add_private(set, host, (uint64_t)N * FRAME_SIZE);
	cr_assert(eq(uint, count(set, N), 0), "half was read");
	bytes[0] = 9;
	bytes[3 * FRAME_SIZE - 1] = 9;
	bytes[(N - 1) * FRAME_SIZE + 5000] = bytes[(N - 1) * FRAME_SIZE + 5000];
	dirty_add_private(set, host, (uint64_t)N * FRAME_SIZE);
	cr_assert(frameset_has(set, 0) && frameset_has(set, 2) && frameset_has(set, N - 1));
	cr_assert(eq(uint, count(set, N), 3));
	free(set);
	munmap(host, N * FRAME_SIZE);
}

/* A batch ends within the mapping: what lies behind it counts too. */
Test(private, many_pages)
{
	size_t len = MIB(160);
	uint8_t *host = mmap(NULL, len, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t *set = frameset_new(len / FRAME_SIZE);

	madvise(host, len, MADV_NOHUGEPAGE);
	for (size_t at = 0; at < len; at += MIB(16))
		host[at] = 1;
	host[len - 1] = 1;
	dirty_add_private(set, host, len);
	cr_assert(eq(uint, count(set, len / FRAME_SIZE), 11));
	for (size_t at = 0; at < len; at += MIB(16))
		cr_assert(frameset_has(set, at / FRAME_SIZE));
	cr_assert(frameset_has(set, len / FRAME_SIZE - 1));
	free(set);
	munmap(host, len);
}

/* Where there is swap space, a written page lies in it afterwards; what was only read is
 * dropped. */
Test(private, pages_that_were_moved_out)
{
	uint8_t *host = map_file(4);
	uint64_t *set = frameset_new(4);
	volatile uint8_t *bytes = host;

	cr_assert(eq(int, bytes[FRAME_SIZE], 2));
	memset(host + 2 * FRAME_SIZE, 0x77, FRAME_SIZE);
	if (madvise(host, 4 * FRAME_SIZE, MADV_PAGEOUT) < 0)
		cr_skip_test("no MADV_PAGEOUT");
	dirty_add_private(set, host, 4 * FRAME_SIZE);
	cr_assert(eq(u64, set[0], 4));
	cr_assert(eq(int, bytes[2 * FRAME_SIZE], 0x77));
	free(set);
	munmap(host, 4 * FRAME_SIZE);
}

/* Anonymous memory over a part of the file: untouched, it says nothing; mem.c's notes do. */
Test(private, a_discarded_frame_comes_from_the_notes)
{
	struct mem mem;
	struct dirty d;
	struct err err;
	uint8_t *host = map_file(16);
	uint64_t *set;

	cr_assert(eq(int, mem_init(&mem, MIB(1), &err), 0));
	cr_assert(mremap(host, MIB(1), MIB(1), MREMAP_MAYMOVE | MREMAP_FIXED, mem.range[0].host) ==
		  mem.range[0].host);
	dirty_init(&d, NULL, &mem, true);
	cr_assert(mmap(mem_at_write(&mem, 3 * FRAME_SIZE, FRAME_SIZE), FRAME_SIZE,
		       PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		       0) != MAP_FAILED);
	mem.range[0].host[7 * FRAME_SIZE + 1] = 1;
	cr_assert(eq(int, dirty_collect(&d, 0, &set, &err), 0), "%s", err.text);
	cr_assert(eq(u64, set[0], 1 << 3 | 1 << 7));
	free(set);
	mem_free(&mem);
}

/* What we write is tracked by the page, whatever becomes of the frames' notes. */
Test(dirty, our_own_writes_are_tracked_by_the_page)
{
	struct kvm kvm = {.dev_fd = -1, .vm_fd = -1};
	const uint64_t size = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t *pages = frameset_new(MIB(9) / size);
	const uint64_t *tracked;
	struct mem mem;
	struct dirty d;
	struct err err;

	cr_assert(eq(int, mem_init(&mem, MIB(9), &err), 0));
	dirty_init(&d, &kvm, &mem, true);
	cr_assert(lt(int, dirty_track(&d, &err), 0), "there is no KVM");
	cr_assert(eq(int, err.kind, ERR_INCOMPATIBLE), "%s", err.text);
	cr_assert_null(mem.range[0].tracked);
	mem.range[0].tracked = pages;
	(void)mem_at_write(&mem, 5 * size - 1, 2);
	(void)mem_at_write(&mem, 40 * size, 0);
	(void)mem_at(&mem, 30 * size, size);
	mem_discard(&mem, mem_at_write(&mem, 16 * size + 8, 8), 3 * size);
	cr_assert(eq(u64, pages[0], UINT64_C(3) << 4 | UINT64_C(7) << 16));
	mem.range[0].tracked = NULL;

	/* A log that has failed makes it all of them, until it is begun anew. */
	d.tracked[0] = mem.range[0].tracked = pages;
	tracked = dirty_tracked(&d, 0);
	cr_assert(eq(ptr, (void *)(uintptr_t)tracked, pages));
	for (uint64_t i = 0; i < MIB(9) / size; i++)
		cr_assert(frameset_has(tracked, i));
	cr_assert(lt(int, dirty_track_again(&d, &err), 0));
	cr_assert(d.tracked_lost);
	dirty_free(&d);
	cr_assert_null(mem.range[0].tracked);
	mem_free(&mem);
}

Test(dirty, without_a_base_everything_may_differ)
{
	struct kvm kvm = {.dev_fd = -1, .vm_fd = -1};
	struct mem mem;
	struct dirty d;
	struct err err;
	uint64_t *set;

	cr_assert(eq(int, mem_init(&mem, MIB(9), &err), 0));
	dirty_init(&d, &kvm, &mem, false);
	cr_assert(eq(int, dirty_collect(&d, 0, &set, &err), 0));
	cr_assert(eq(uint, count(set, 144), 144));
	free(set);

	dirty_init(&d, &kvm, &mem, true);
	cr_assert(eq(int, dirty_collect(&d, 0, &set, &err), 0));
	cr_assert(eq(uint, count(set, 144), 0), "a woken machine that wrote nothing");
	free(set);

	cr_assert(lt(int, dirty_rebase(&d, &err), 0), "there is no KVM");
	cr_assert(eq(int, err.kind, ERR_INCOMPATIBLE), "%s", err.text);
	cr_assert(eq(int, dirty_collect(&d, 0, &set, &err), 0));
	cr_assert(eq(uint, count(set, 144), 144));
	free(set);
	mem_free(&mem);
}
