/* Guest memory in two ranges, with the hole below 4 GiB between them. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "base/frame.h"
#include "base/num.h"
#include "vmm/frameset.h"
#include "vmm/mem.h"

#define LOW_END	   GIB(3)
#define HIGH_START GIB(4)

/* mem_at on 5 GiB: [0, 3 GiB) and [4 GiB, 6 GiB). */
static const struct {
	uint64_t gpa, len;
	bool ram;
} places[] = {
	{0, 0, true},
	{0, 1, true},
	{0, LOW_END, true},
	{0, LOW_END + 1, false},
	{1, LOW_END, false},
	{LOW_END - 1, 1, true},
	{LOW_END - 1, 2, false},
	{LOW_END, 1, false},
	{LOW_END + 1, 0, false},
	{LOW_END, GIB(1), false},
	{0, GIB(5), false}, /* never across the hole */
	{HIGH_START - 1, 2, false},
	{HIGH_START, 1, true},
	{HIGH_START, GIB(2), true},
	{HIGH_START, GIB(2) + 1, false},
	{HIGH_START + GIB(2) - 8, 8, true},
	{HIGH_START + GIB(2) - 8, 9, false},
	{HIGH_START + GIB(2), 1, false},
	{UINT64_MAX, 1, false},
	{UINT64_MAX, UINT64_MAX, false},
	{1, UINT64_MAX, false},
	{16, UINT64_MAX - 15, false}, /* ends at 2^64 exactly */
	{HIGH_START, UINT64_MAX - HIGH_START + 1, false},
	{0, UINT64_MAX, false},
};

Test(mem, the_accessor_knows_every_edge)
{
	struct mem mem;
	struct err err;

	cr_assert(eq(int, mem_init(&mem, GIB(5), &err), 0), "%s", err.text);
	cr_assert(eq(uint, mem.nranges, 2));
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		cr_assert(
			eq(int, mem_at(&mem, places[i].gpa, places[i].len) != NULL, places[i].ram),
			"0x%llx + 0x%llx", (unsigned long long)places[i].gpa,
			(unsigned long long)places[i].len);
	cr_assert(mem_at(&mem, HIGH_START + 5, 1) == mem.range[1].host + 5);
	mem_free(&mem);
}

static unsigned frames_in(const uint64_t *set, uint64_t frames)
{
	unsigned n = 0;

	for (uint64_t i = 0; i < frames; i++)
		n += frameset_has(set, i);
	return n;
}

Test(written, a_write_is_noted_and_a_read_is_not)
{
	struct mem mem;
	struct err err;

	cr_assert(eq(int, mem_init(&mem, GIB(5), &err), 0));
	cr_assert(mem_at(&mem, 0, MIB(1)) != NULL);
	cr_assert(mem_at_write(&mem, 5 * FRAME_SIZE, 0) != NULL);
	cr_assert(mem_at_write(&mem, GIB(3) - 1, 2) == NULL);
	cr_assert(eq(uint, frames_in(mem.range[0].written, GIB(3) / FRAME_SIZE), 0));
	cr_assert(mem_at_write(&mem, 2 * FRAME_SIZE - 1, 1) != NULL);
	cr_assert(eq(u64, mem.range[0].written[0], 2));
	cr_assert(mem_at_write(&mem, 5 * FRAME_SIZE - 1, FRAME_SIZE + 2) != NULL);
	cr_assert(eq(u64, mem.range[0].written[0], 2 | 7 << 4));
	cr_assert(mem_write(&mem, GIB(6) - 4, "1234", 4));
	cr_assert(eq(uint, frames_in(mem.range[1].written, GIB(2) / FRAME_SIZE), 1));
	cr_assert(frameset_has(mem.range[1].written, GIB(2) / FRAME_SIZE - 1));
	mem_free(&mem);
}
