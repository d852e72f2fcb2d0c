/* Giving guest memory back: what is discarded reads as zero and costs nothing, whatever stood
 * there.
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "vmm/frameset.h"
#include "vmm/mem.h"

#define PAGE 4096u
#define RAM  MIB(8)

static struct mem mem;
static int fd = -1;

/* Memory that shows a file of 'f' in [MIB(2), MIB(4)), 'a' elsewhere. */
static void setup(void)
{
	static char bytes[MIB(2)];
	struct blob blob = {.offset = PAGE, .len = sizeof(bytes)};
	struct err err;

	cr_assert(eq(int, mem_init(&mem, RAM, &err), 0), "%s", err.text);
	memset(mem.range[0].host, 'a', RAM);
	memset(bytes, 'f', sizeof(bytes));
	blob.fd = fd = memfd_create("memory", MFD_CLOEXEC);
	cr_assert(eq(int, (int)pwrite(fd, bytes, sizeof(bytes), PAGE), (int)sizeof(bytes)));
	cr_assert(eq(int, mem_map_file(&mem, 0, MIB(2), &blob, &err), 0), "%s", err.text);
}

static void teardown(void)
{
	mem_free(&mem);
	close(fd);
}

TestSuite(discard, .init = setup, .fini = teardown);

/* How many bytes of [gpa, gpa + len) are `byte`. */
static uint64_t count(uint64_t gpa, uint64_t len, uint8_t byte)
{
	const uint8_t *at = mem_at(&mem, gpa, len);
	uint64_t n = 0;

	for (uint64_t i = 0; i < len; i++)
		n += at[i] == byte;
	return n;
}

static void discard(uint64_t gpa, uint64_t len)
{
	mem_discard(&mem, (uint8_t *)mem.range[0].host + gpa, len);
}

/* Lines of /proc/self/maps. */
static unsigned mappings(void)
{
	cleanup_file FILE *f = fopen("/proc/self/maps", "r");
	unsigned lines = 0;

	for (int c; (c = getc(f)) != EOF;)
		lines += c == '\n';
	return lines;
}

static uint64_t resident(void)
{
	cleanup_file FILE *f = fopen("/proc/self/statm", "r");
	unsigned long pages = 0;

	cr_assert(eq(int, fscanf(f, "%*u %lu", &pages), 1));
	return pages * PAGE;
}

Test(discard, anonymous_pages_go)
{
	uint64_t before = resident();

	discard(MIB(4), MIB(3));
	cr_assert(eq(u64, count(MIB(4), MIB(3), 0), MIB(3)));
	cr_assert(eq(u64, count(MIB(7), MIB(1), 'a'), MIB(1)));
	discard(MIB(4), MIB(3)); /* counting read zero pages in */
	cr_assert(le(u64, resident() + MIB(2), before));
}

Test(discard, the_file_does_not_come_back)
{
	discard(MIB(2) + 5 * PAGE, 3 * PAGE);
	cr_assert(eq(u64, count(MIB(2) + 5 * PAGE, 3 * PAGE, 0), 3 * PAGE));
	cr_assert(eq(u64, count(MIB(2), 5 * PAGE, 'f'), 5 * PAGE));
	cr_assert(eq(u64, count(MIB(2) + 8 * PAGE, PAGE, 'f'), PAGE));
	/* Written to since, and once more: now it is anonymous. */
	memset(mem.range[0].host + MIB(2) + 5 * PAGE, 'w', PAGE);
	discard(MIB(2) + 5 * PAGE, PAGE);
	cr_assert(eq(u64, count(MIB(2) + 5 * PAGE, PAGE, 0), PAGE));
}

Test(discard, a_written_page_of_the_file_goes_too)
{
	memset(mem.range[0].host + MIB(3), 'w', PAGE);
	discard(MIB(3), PAGE);
	cr_assert(eq(u64, count(MIB(3), PAGE, 0), PAGE));
}

Test(discard, across_both_kinds)
{
	discard(MIB(1), MIB(4));
	cr_assert(eq(u64, count(0, MIB(1), 'a'), MIB(1)));
	cr_assert(eq(u64, count(MIB(1), MIB(4), 0), MIB(4)));
	cr_assert(eq(u64, count(MIB(5), MIB(3), 'a'), MIB(3)));
}

Test(discard, only_whole_pages)
{
	discard(MIB(1) + 1, 2 * PAGE);
	cr_assert(eq(u64, count(MIB(1), PAGE, 'a'), PAGE));
	cr_assert(eq(u64, count(MIB(1) + PAGE, PAGE, 0), PAGE));
	cr_assert(eq(u64, count(MIB(1) + 2 * PAGE, PAGE, 'a'), PAGE));
	discard(MIB(1) + 3 * PAGE + 1, PAGE - 1);
	discard(RAM - 1, 1);
	discard(RAM, 0);
	cr_assert(eq(u64, count(MIB(1) + 2 * PAGE, PAGE * 254, 'a'), PAGE * 254));
}

/* It changes what a save would write, and KVM does not see it. */
Test(discard, counts_as_written)
{
	const uint64_t *written = mem.range[0].written;

	discard(2 * FRAME_SIZE - PAGE, FRAME_SIZE + 2 * PAGE);
	for (unsigned frame = 0; frame < 6; frame++)
		cr_assert(eq(int, frameset_has(written, frame), frame >= 1 && frame <= 3));
	discard(5 * FRAME_SIZE, PAGE - 1);
	cr_assert_not(frameset_has(written, 5));
}

static struct {
	unsigned calls, range;
	uint64_t offset, len;
	uint8_t first;
} told;

static void note(void *opaque, unsigned range, uint64_t offset, uint64_t len)
{
	struct mem *m = opaque;

	told.calls++;
	told.range = range;
	told.offset = offset;
	told.len = len;
	told.first = m->range[range].host[offset];
}

Test(discard, the_pager_hears_of_it_before)
{
	mem.discarded = note;
	mem.discarded_opaque = &mem;
	discard(MIB(2) - 1, 2 * PAGE + 1);
	cr_assert(eq(uint, told.calls, 1));
	cr_assert(eq(uint, told.range, 0));
	cr_assert(eq(u64, told.offset, MIB(2)));
	cr_assert(eq(u64, told.len, 2 * PAGE));
	cr_assert(eq(u8, told.first, 'f'));
	discard(MIB(2) + 1, PAGE);
	cr_assert(eq(uint, told.calls, 1)); /* no whole page, nothing to tell */
}

/* In any order, holes become one again. */
Test(discard, neighbours_join)
{
	unsigned before = mappings();

	for (unsigned step = 0; step < 2; step++) {
		for (unsigned page = step; page < MIB(2) / PAGE; page += 2)
			discard(MIB(2) + page * PAGE, PAGE);
	}
	cr_assert(eq(u64, count(MIB(2), MIB(2), 0), MIB(2)));
	cr_assert(le(uint, mappings(), before + 2));
}

/* A guest that punches every other page of a file everywhere, and writes into the holes. */
Test(discard, a_hostile_guest_gets_no_more_than_its_share)
{
	const uint64_t size = GIB(1);
	struct blob blob = {.fd = memfd_create("big", MFD_CLOEXEC), .len = size};
	unsigned before, after;
	struct mem big;
	struct err err;

	cr_assert(eq(int, ftruncate(blob.fd, (off_t)size), 0));
	cr_assert(eq(int, mem_init(&big, size, &err), 0), "%s", err.text);
	cr_assert(eq(int, mem_map_file(&big, 0, 0, &blob, &err), 0), "%s", err.text);
	before = mappings();
	for (uint64_t at = 0; at < MIB(384); at += 2 * PAGE) {
		big.range[0].host[at] = 'w';
		mem_discard(&big, big.range[0].host + at, PAGE);
		cr_assert(eq(u8, big.range[0].host[at], 0));
		big.range[0].host[at] = 'w';
	}
	after = mappings();
	cr_assert(le(uint, after, before + 32768 + 16));
	/* What is large goes all the same. */
	mem_discard(&big, big.range[0].host + MIB(400), MIB(2));
	cr_assert(ge(uint, mappings(), after + 1));
	mem_free(&big);
	close(blob.fd);
}
