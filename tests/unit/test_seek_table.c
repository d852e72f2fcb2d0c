/* Seek tables of packed parts: the bytes that other programs read, and every way in which one can
 * lie. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/num.h"
#include "format/image/image.h"
#include "format/image/seek_table.h"

/* clang-format off */
static const uint8_t golden[] = {
	0x5e, 0x2a, 0x4d, 0x18, 25, 0, 0, 0,	    /* a skippable frame of 25 bytes */
	5, 0, 0, 0, 0, 0, 1, 0,			    /* packed, unpacked */
	0x03, 0x02, 0, 0, 0, 0, 1, 0,
	2, 0, 0, 0, 0, 0xb1, 0xea, 0x92, 0x8f,	    /* frames, descriptor, magic */
};
/* clang-format on */

#define DATA	   (5 + 0x203u)
#define MAX_FRAMES 200u

/* `gap` bytes of frames with a table behind them, in a file without a name. */
static struct blob make_part(uint64_t gap, const void *table, size_t len)
{
	struct blob part = {.fd = memfd_create("part", MFD_CLOEXEC), .len = gap + len};

	cr_assert(part.fd >= 0 && ftruncate(part.fd, (off_t)gap) == 0);
	cr_assert(pwrite(part.fd, table, len, (off_t)gap) == (ssize_t)len);
	return part;
}

/* 0 and the offsets, or the error's kind. */
static int read_table(uint64_t gap, const void *table, size_t len, uint32_t *offsets)
{
	struct blob part = make_part(gap, table, len);
	struct err err = {0};
	uint32_t frames;
	int ret = seek_table_frames(&part, &frames, &err);

	if (ret == 0 && frames <= MAX_FRAMES)
		ret = seek_table_read(&part, frames, offsets, &err);
	close(part.fd);
	return ret < 0 ? (int)err.kind : 0;
}

Test(seek_table, the_bytes_are_golden)
{
	static const uint32_t sizes[] = {5, 0x203};
	struct buf out = {0};
	uint32_t offsets[MAX_FRAMES + 1];

	seek_table_encode(sizes, 2, &out);
	cr_assert(eq(sz, out.len, sizeof(golden)));
	cr_assert_arr_eq(out.data, golden, sizeof(golden));
	buf_free(&out);
	cr_assert(eq(int, read_table(DATA, golden, sizeof(golden), offsets), 0));
	cr_assert(eq(u32, offsets[0], 0));
	cr_assert(eq(u32, offsets[1], 5));
	cr_assert(eq(u32, offsets[2], DATA));
}

Test(seek_table, every_truncation_is_refused)
{
	uint32_t offsets[MAX_FRAMES + 1];

	for (size_t len = 0; len < sizeof(golden); len++) {
		cr_assert(eq(int, read_table(DATA, golden, len, offsets), ERR_INTEGRITY));
		cr_assert(eq(int, read_table(0, golden, len, offsets), ERR_INTEGRITY));
	}
}

/* But for the two bits that the format leaves unused. */
Test(seek_table, every_flipped_bit_is_refused)
{
	uint8_t table[sizeof(golden)];
	uint32_t offsets[MAX_FRAMES + 1];

	for (size_t bit = 0; bit < sizeof(golden) * 8; bit++) {
		bool unused = bit / 8 == sizeof(golden) - 5 && bit % 8 < 2;

		memcpy(table, golden, sizeof(table));
		table[bit / 8] ^= (uint8_t)(1u << bit % 8);
		cr_assert_eq(read_table(DATA, table, sizeof(table), offsets),
			     unused ? 0 : ERR_INTEGRITY, "bit %zu", bit);
	}
}

Test(seek_table, the_frames_are_all_of_the_part)
{
	uint32_t offsets[MAX_FRAMES + 1];

	cr_assert(eq(int, read_table(DATA - 1, golden, sizeof(golden), offsets), ERR_INTEGRITY));
	cr_assert(eq(int, read_table(DATA + 1, golden, sizeof(golden), offsets), ERR_INTEGRITY));
	cr_assert(eq(int, read_table(0, golden, sizeof(golden), offsets), ERR_INTEGRITY));
}

/* A table of `n` such frames, with checksums or without. */
static void build(struct buf *out, const uint32_t *packed, const uint32_t *flat, uint32_t n,
		  bool checksums)
{
	buf_add_le32(out, 0x184d2a5e);
	buf_add_le32(out, n * (checksums ? 12 : 8) + 9);
	for (uint32_t i = 0; i < n; i++) {
		buf_add_le32(out, packed[i]);
		buf_add_le32(out, flat[i]);
		if (checksums)
			buf_add_le32(out, 0xdeadbeef);
	}
	buf_add_le32(out, n);
	buf_add_u8(out, checksums ? 0x80 : 0);
	buf_add_le32(out, 0x8f92eab1);
}

Test(seek_table, with_checksums_it_is_read_too)
{
	static const uint32_t packed[] = {7, 8, 9}, flat[] = {65536, 65536, 65536};
	uint32_t offsets[MAX_FRAMES + 1];
	struct buf table = {0};

	build(&table, packed, flat, 3, true);
	cr_assert(eq(int, read_table(24, table.data, table.len, offsets), 0));
	cr_assert(eq(u32, offsets[2], 15));
	cr_assert(eq(u32, offsets[3], 24));
	buf_free(&table);
}

struct lie {
	uint32_t packed[2];
	uint32_t flat[2];
	uint64_t gap;
};

Test(seek_table, lies_are_refused)
{
	static const struct lie lies[] = {
		{{10, 10}, {65536, 65535}, 20}, /* a frame that is not one of ours */
		{{10, 10}, {65536, 65537}, 20},
		{{10, 0}, {65536, 65536}, 10}, /* nothing unpacks to nothing */
		{{0, 10}, {65536, 65536}, 10},
		{{UINT32_MAX, 16}, {65536, 65536}, 15},			   /* 32 bits wrap */
		{{UINT32_MAX, 16}, {65536, 65536}, UINT64_C(0x10000000f)}, /* more than 4 GiB */
	};
	uint32_t offsets[MAX_FRAMES + 1];

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		struct buf table = {0};

		build(&table, lies[i].packed, lies[i].flat, 2, false);
		cr_assert_eq(read_table(lies[i].gap, table.data, table.len, offsets), ERR_INTEGRITY,
			     "lie %zu", i);
		buf_free(&table);
	}
}

Test(seek_table, absurd_counts_are_refused_before_anything_is_allocated)
{
	static const uint32_t counts[] = {0, SEEK_TABLE_MAX_FRAMES + 1, 0x20000000, UINT32_MAX};
	uint8_t table[sizeof(golden)];
	uint32_t offsets[MAX_FRAMES + 1];

	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		memcpy(table, golden, sizeof(table));
		le_put32(table + sizeof(table) - 9, counts[i]);
		le_put32(table + 4, counts[i] * 8 + 9);
		cr_assert(eq(int, read_table(DATA, table, sizeof(table), offsets), ERR_INTEGRITY));
	}
	/* As many as there may be take a part that has room for their table. */
	le_put32(table + sizeof(table) - 9, SEEK_TABLE_MAX_FRAMES);
	cr_assert(eq(int, read_table(DATA, table, sizeof(table), offsets), ERR_INTEGRITY));
}

/* The file may shrink between the two questions, or the first answer come from elsewhere. */
Test(seek_table, another_count_than_expected_is_refused)
{
	struct blob part = make_part(DATA, golden, sizeof(golden));
	uint32_t offsets[MAX_FRAMES + 1];

	cr_assert(lt(int, seek_table_read(&part, 1, offsets, NULL), 0));
	cr_assert(lt(int, seek_table_read(&part, 3, offsets, NULL), 0));
	cr_assert(eq(int, seek_table_read(&part, 2, offsets, NULL), 0));
	close(part.fd);
}
