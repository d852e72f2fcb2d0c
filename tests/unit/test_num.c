/* Checked arithmetic and little-endian access. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "base/num.h"

Test(num, a_range_at_the_edge_is_within)
{
	cr_assert(range_within(0, 0, 0));
	cr_assert(range_within(0, 8, 8));
	cr_assert(range_within(7, 1, 8));
	cr_assert(range_within(8, 0, 8));
	cr_assert(range_within(UINT64_MAX - 1, 1, UINT64_MAX));
}

Test(num, a_range_that_leaves_or_wraps_is_not_within)
{
	cr_assert_not(range_within(7, 2, 8));
	cr_assert_not(range_within(9, 0, 8));
	cr_assert_not(range_within(1, UINT64_MAX, UINT64_MAX));
	cr_assert_not(range_within(UINT64_MAX, 2, UINT64_MAX));
	cr_assert_not(range_within(UINT64_MAX, UINT64_MAX, 16));
}

Test(num, alignment)
{
	cr_assert(eq(u64, align_up(0, 512), 0));
	cr_assert(eq(u64, align_up(1, 512), 512));
	cr_assert(eq(u64, align_up(512, 512), 512));
	cr_assert(eq(u64, align_up(GIB(8) + 1, 65536), GIB(8) + 65536));
	cr_assert(eq(u64, align_down(1023, 512), 512));
	cr_assert(eq(u64, u64_min(3, 2), 2));
}

Test(num, bytes_are_little_endian_and_may_be_unaligned)
{
	uint8_t raw[9] = {0};

	le_put64(raw + 1, 0x0123456789abcdefULL);
	cr_assert(eq(u8, raw[1], 0xef));
	cr_assert(eq(u8, raw[8], 0x01));
	cr_assert(eq(u64, le_get64(raw + 1), 0x0123456789abcdefULL));
	cr_assert(eq(u32, le_get32(raw + 1), 0x89abcdef));
	cr_assert(eq(u16, le_get16(raw + 3), 0x89ab));
	le_put16(raw, 0x1234);
	cr_assert(eq(u16, le_get16(raw), 0x1234));
	le_put32(raw, 0xdeadbeef);
	cr_assert(eq(u8, raw[0], 0xef));
}
