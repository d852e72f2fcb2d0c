/* The state blob: sections, and their bytes under truncation and damage. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "state/statefile.h"

struct point {
	uint32_t x;
	uint32_t y;
};

static const struct state_field point_fields[] = {
	STATE_SCALAR(struct point, x, 1, 1, 0),
	STATE_SCALAR(struct point, y, 2, 1, 0),
};

static const struct state_table point_table = STATE_TABLE("point", 1, struct point, point_fields);

/* clang-format off */
static const uint8_t golden[] = {
	'T', 'O', 'R', 'P', 'O', 'R', 'S', 'T', 1, 0, 0, 0, 2, 0, 0, 0,
	1, 0, 1, 0, 24, 0, 0, 0, 'a',
		1, 0, 4, 0, 4, 0, 0, 0, 3, 0, 0, 0,
		2, 0, 4, 0, 4, 0, 0, 0, 4, 0, 0, 0,
	3, 0, 1, 0, 24, 0, 0, 0, 'b', '.', 'c',
		1, 0, 4, 0, 4, 0, 0, 0, 5, 0, 0, 0,
		2, 0, 4, 0, 4, 0, 0, 0, 6, 0, 0, 0,
};
/* clang-format on */

static struct buf make(void)
{
	struct point a = {3, 4}, b = {5, 6};
	struct buf out = {0};
	struct err err;

	statefile_begin(&out);
	statefile_add(&out, "a", &point_table, &a);
	statefile_add(&out, "b.c", &point_table, &b);
	cr_assert(eq(int, statefile_end(&out, &err), 0));
	return out;
}

/* Parse a copy of the exact size, load both sections, and encode again. */
static int round_trip(const uint8_t *data, size_t len, struct buf *again)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);
	struct statefile sf;
	struct point a, b;
	int ret;

	memcpy(copy, data, len);
	ret = statefile_parse(&sf, copy, len, NULL);
	if (ret == 0) {
		ret = statefile_load(&sf, "a", &point_table, &a, NULL);
		if (ret == 0)
			ret = statefile_load(&sf, "b.c", &point_table, &b, NULL);
		if (ret == 0)
			ret = statefile_all_used(&sf, NULL);
		statefile_free(&sf);
	}
	free(copy);
	if (ret < 0)
		return ret;
	statefile_begin(again);
	statefile_add(again, "a", &point_table, &a);
	statefile_add(again, "b.c", &point_table, &b);
	return 0;
}

Test(statefile, the_bytes_are_golden)
{
	struct buf out = make();

	cr_assert(eq(sz, out.len, sizeof(golden)));
	cr_assert_arr_eq(out.data, golden, sizeof(golden));
	buf_free(&out);
}

Test(statefile, sections_come_back)
{
	struct statefile sf;
	struct point p;
	struct err err = {0};

	cr_assert(eq(int, statefile_parse(&sf, golden, sizeof(golden), &err), 0), "%s", err.text);
	cr_assert(eq(u32, sf.nsections, 2));
	cr_assert(eq(int, statefile_load(&sf, "b.c", &point_table, &p, &err), 0), "%s", err.text);
	cr_assert(eq(u32, p.x, 5));
	cr_assert(lt(int, statefile_all_used(&sf, &err), 0));
	cr_assert(eq(int, err.kind, ERR_INCOMPATIBLE));
	cr_assert(ne(ptr, strstr(err.text, "section a "), NULL), "%s", err.text);
	cr_assert(eq(int, statefile_load(&sf, "a", &point_table, &p, &err), 0));
	cr_assert(eq(int, statefile_all_used(&sf, &err), 0));
	cr_assert(lt(int, statefile_load(&sf, "d", &point_table, &p, &err), 0));
	cr_assert(eq(int, err.kind, ERR_INTEGRITY));
	statefile_free(&sf);
}

Test(statefile, every_truncation_and_addition_is_refused)
{
	uint8_t longer[sizeof(golden) + 1] = {0};
	struct buf again = {0};

	for (size_t len = 0; len < sizeof(golden); len++)
		cr_assert(lt(int, round_trip(golden, len, &again), 0), "%zu bytes pass", len);
	memcpy(longer, golden, sizeof(golden));
	cr_assert(lt(int, round_trip(longer, sizeof(longer), &again), 0));
}

Test(statefile, what_is_read_is_canonical_whatever_byte_changes)
{
	uint8_t bytes[sizeof(golden)];

	for (size_t at = 0; at < sizeof(golden); at++) {
		for (unsigned value = 0; value < 256; value++) {
			struct buf again = {0};

			memcpy(bytes, golden, sizeof(bytes));
			bytes[at] = (uint8_t)value;
			if (round_trip(bytes, sizeof(bytes), &again) < 0)
				continue;
			cr_assert(eq(sz, again.len, sizeof(bytes)));
			cr_assert_arr_eq(again.data, bytes, sizeof(bytes), "byte %zu = %u", at,
					 value);
			buf_free(&again);
		}
	}
}

Test(statefile, a_section_twice_is_refused)
{
	struct point p = {0};
	struct buf out = {0};
	struct statefile sf;
	struct err err = {0};

	statefile_begin(&out);
	statefile_add(&out, "a", &point_table, &p);
	statefile_add(&out, "a", &point_table, &p);
	cr_assert(lt(int, statefile_parse(&sf, out.data, out.len, &err), 0));
	cr_assert(ne(ptr, strstr(err.text, "twice"), NULL), "%s", err.text);
	buf_free(&out);
}

Test(statefile, another_format_is_refused_by_number)
{
	uint8_t bytes[sizeof(golden)];
	struct statefile sf;
	struct err err = {0};

	memcpy(bytes, golden, sizeof(bytes));
	bytes[8] = 2;
	cr_assert(lt(int, statefile_parse(&sf, bytes, sizeof(bytes), &err), 0));
	cr_assert(eq(int, err.kind, ERR_INCOMPATIBLE));
}

Test(statefile, an_absurd_count_allocates_nothing)
{
	uint8_t bytes[16];
	struct statefile sf;

	memcpy(bytes, golden, 12);
	memset(bytes + 12, 0xff, 4);
	cr_assert(lt(int, statefile_parse(&sf, bytes, sizeof(bytes), NULL), 0));
}
