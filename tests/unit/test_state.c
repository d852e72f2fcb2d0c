/* State tables: what they prove about a struct, and their bytes under truncation and damage. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "state/state.h"

struct ring {
	uint16_t size;
	uint16_t ready;
	uint32_t pad;
	uint64_t desc;
};

struct sample {
	uint8_t mode;
	uint8_t pad[3];
	uint32_t nrings;
	uint16_t list[3];
	uint8_t mac[6];
	uint32_t nlog;
	struct ring ring[2];
	struct ring control;
	uint32_t log[4];
	uint64_t added;
};

static const struct state_field ring_fields[] = {
	STATE_SCALAR(struct ring, size, 1, 1, STATE_EQUAL),
	STATE_SCALAR(struct ring, ready, 2, 1, 0),
	STATE_PAD(struct ring, pad),
	STATE_SCALAR(struct ring, desc, 3, 1, STATE_HEX),
};

static const struct state_table ring_table = STATE_TABLE("ring", 1, struct ring, ring_fields);

static const struct state_field sample_fields[] = {
	STATE_SCALAR(struct sample, mode, 1, 1, STATE_EQUAL),
	STATE_PAD(struct sample, pad),
	STATE_SCALAR(struct sample, nrings, 2, 1, 0),
	STATE_ARRAY(struct sample, list, 3, 1, 0),
	STATE_ARRAY(struct sample, mac, 4, 1, 0),
	STATE_SCALAR(struct sample, nlog, 5, 1, 0),
	STATE_VSTRUCT(struct sample, ring, nrings, 6, 1, &ring_table),
	STATE_STRUCT(struct sample, control, 7, 1, &ring_table),
	STATE_VARRAY(struct sample, log, nlog, 8, 1, STATE_HEX),
	STATE_SCALAR(struct sample, added, 9, 2, 0),
};

static const struct state_table sample_table =
	STATE_TABLE("sample", 2, struct sample, sample_fields);

static const struct sample one = {
	.mode = 7,
	.nrings = 1,
	.list = {1, 2, 0xfffe},
	.mac = {2, 0, 0, 0, 0, 1},
	.nlog = 2,
	.ring = {{.size = 256, .ready = 1, .desc = 0x1122334455667788}},
	.control = {.size = 64},
	.log = {0xdeadbeef, 5},
	.added = 9,
};

/* clang-format off */
static const uint8_t golden[] = {
	0x01, 0x00, 1, 0, 1, 0, 0, 0, 7,
	0x02, 0x00, 4, 0, 4, 0, 0, 0, 1, 0, 0, 0,
	0x03, 0x00, 2, 0, 6, 0, 0, 0, 1, 0, 2, 0, 0xfe, 0xff,
	0x04, 0x00, 1, 0, 6, 0, 0, 0, 2, 0, 0, 0, 0, 1,
	0x05, 0x00, 4, 0, 4, 0, 0, 0, 2, 0, 0, 0,
	0x06, 0x00, 0, 0, 40, 0, 0, 0, 36, 0, 0, 0,
		0x01, 0x00, 2, 0, 2, 0, 0, 0, 0x00, 0x01,
		0x02, 0x00, 2, 0, 2, 0, 0, 0, 1, 0,
		0x03, 0x00, 8, 0, 8, 0, 0, 0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
	0x07, 0x00, 0, 0, 40, 0, 0, 0, 36, 0, 0, 0,
		0x01, 0x00, 2, 0, 2, 0, 0, 0, 64, 0,
		0x02, 0x00, 2, 0, 2, 0, 0, 0, 0, 0,
		0x03, 0x00, 8, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0x08, 0x00, 4, 0, 8, 0, 0, 0, 0xef, 0xbe, 0xad, 0xde, 5, 0, 0, 0,
	0x09, 0x00, 8, 0, 8, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0,
};
/* clang-format on */
#define ADDED_SIZE 16u /* of the field that version 2 brought, the last one */

static int decode(const uint8_t *data, size_t len, struct sample *s, struct err *err)
{
	/* A copy of the exact size, so that ASan sees a read beyond it. */
	uint8_t *copy = malloc(len > 0 ? len : 1);
	int ret;

	memcpy(copy, data, len);
	ret = state_decode(&sample_table, 2, copy, len, s, err);
	free(copy);
	return ret;
}

Test(state, the_fields_tile_the_struct)
{
	struct err err = {0};

	cr_assert(eq(int, state_check_table(&sample_table, &err), 0), "%s", err.text);
}

Test(state, a_forgotten_member_is_found)
{
	struct state_field fields[ARRAY_SIZE(sample_fields)];
	struct state_table table = sample_table;
	struct err err = {0};

	table.fields = fields;
	table.nfields = ARRAY_SIZE(sample_fields) - 1;
	for (size_t without = 0; without < ARRAY_SIZE(sample_fields); without++) {
		for (size_t i = 0, n = 0; i < ARRAY_SIZE(sample_fields); i++) {
			if (i != without)
				fields[n++] = sample_fields[i];
		}
		cr_assert(lt(int, state_check_table(&table, &err), 0), "without field %zu",
			  without);
	}
}

Test(state, tables_that_lie_are_found)
{
	struct state_field fields[ARRAY_SIZE(sample_fields)];
	struct state_table table = sample_table;
	struct err err = {0};

	table.fields = fields;
	memcpy(fields, sample_fields, sizeof(fields));
	fields[2].tag = 1; /* twice */
	cr_assert(lt(int, state_check_table(&table, &err), 0));
	memcpy(fields, sample_fields, sizeof(fields));
	fields[9].since = 3; /* of a version to come */
	cr_assert(lt(int, state_check_table(&table, &err), 0));
	memcpy(fields, sample_fields, sizeof(fields));
	fields[6].elements = &(const struct state_elements){
		.table = &ring_table, .count_offset = offsetof(struct sample, log)}; /* no count */
	cr_assert(lt(int, state_check_table(&table, &err), 0));
	memcpy(fields, sample_fields, sizeof(fields));
	fields[3].offset = fields[2].offset; /* overlap */
	cr_assert(lt(int, state_check_table(&table, &err), 0));
}

Test(state, the_encoding_is_golden)
{
	struct buf out = {0};

	state_encode(&sample_table, &one, &out);
	cr_assert(eq(sz, out.len, sizeof(golden)));
	cr_assert_arr_eq(out.data, golden, sizeof(golden));
	buf_free(&out);
}

Test(state, decoding_gives_the_struct_back)
{
	struct sample s;
	struct err err = {0};

	memset(&s, 0xff, sizeof(s));
	cr_assert(eq(int, decode(golden, sizeof(golden), &s, &err), 0), "%s", err.text);
	cr_assert_arr_eq(&s, &one, sizeof(s));
}

Test(state, version_1_data_has_zero_in_the_new_field)
{
	struct sample s;
	struct err err = {0};

	cr_assert(eq(int,
		     state_decode(&sample_table, 1, golden, sizeof(golden) - ADDED_SIZE, &s, &err),
		     0),
		  "%s", err.text);
	cr_assert(eq(u64, s.added, 0));
	cr_assert(eq(u32, s.log[1], 5));
	cr_assert(lt(int, state_decode(&sample_table, 1, golden, sizeof(golden), &s, &err), 0));
	cr_assert(lt(int, state_decode(&sample_table, 0, golden, sizeof(golden), &s, &err), 0));
	cr_assert(lt(int, state_decode(&sample_table, 3, golden, sizeof(golden), &s, &err), 0));
	cr_assert(eq(int, err.kind, ERR_INCOMPATIBLE));
}

Test(state, every_truncation_is_refused)
{
	struct sample s;

	for (size_t len = 0; len < sizeof(golden); len++) {
		struct err err = {0};

		cr_assert(lt(int, decode(golden, len, &s, &err), 0), "%zu bytes pass", len);
		cr_assert(eq(int, err.kind, ERR_INTEGRITY));
	}
}

Test(state, bytes_behind_the_end_are_refused)
{
	uint8_t longer[sizeof(golden) + 9] = {0};
	struct sample s;
	struct err err = {0};

	memcpy(longer, golden, sizeof(golden));
	for (size_t more = 1; more <= 9; more++)
		cr_assert(lt(int, decode(longer, sizeof(golden) + more, &s, &err), 0));
}

Test(state, what_decodes_is_canonical_whatever_byte_changes)
{
	uint8_t bytes[sizeof(golden)];
	unsigned accepted = 0;

	for (size_t at = 0; at < sizeof(golden); at++) {
		for (unsigned value = 0; value < 256; value++) {
			struct buf again = {0};
			struct sample s;

			memcpy(bytes, golden, sizeof(bytes));
			bytes[at] = (uint8_t)value;
			if (decode(bytes, sizeof(bytes), &s, NULL) < 0)
				continue;
			accepted++;
			state_encode(&sample_table, &s, &again);
			cr_assert(eq(sz, again.len, sizeof(bytes)));
			cr_assert_arr_eq(again.data, bytes, sizeof(bytes), "byte %zu = %u", at,
					 value);
			buf_free(&again);
		}
	}
	/* Any value goes in 7 + 6 + 6 … payload bytes, none in the others but their own. */
	cr_assert(ge(uint, accepted, 256 * 20 + 1));
	cr_assert(lt(uint, accepted, 256 * 100));
}

Test(state, only_unknown_optional_fields_are_passed_over)
{
	uint8_t bytes[sizeof(golden) + 9];
	struct sample s;
	struct err err = {0};

	memcpy(bytes, golden, sizeof(golden));
	memcpy(bytes + sizeof(golden), "\x01\x80\x01\0\x01\0\0\0\x2a", 9);
	cr_assert(eq(int, decode(bytes, sizeof(bytes), &s, &err), 0), "%s", err.text);
	cr_assert_arr_eq(&s, &one, sizeof(s));
	bytes[sizeof(golden) + 1] = 0x10;
	cr_assert(lt(int, decode(bytes, sizeof(bytes), &s, &err), 0));
}

Test(state, a_count_beyond_the_array_is_refused)
{
	uint8_t bytes[sizeof(golden)];
	struct sample s;
	struct err err = {0};

	memcpy(bytes, golden, sizeof(bytes));
	bytes[17] = 3; /* nrings; there is room for two */
	cr_assert(lt(int, decode(bytes, sizeof(bytes), &s, &err), 0));
	cr_assert(ne(ptr, strstr(err.text, "ring"), NULL), "%s", err.text);
}

Test(state, equal_fields_are_compared)
{
	struct sample staged = one;
	struct err err = {0};

	cr_assert(eq(int, state_check_equal(&sample_table, &one, &staged, &err), 0));
	staged.added = 10;
	cr_assert(eq(int, state_check_equal(&sample_table, &one, &staged, &err), 0));
	staged.mode = 8;
	cr_assert(lt(int, state_check_equal(&sample_table, &one, &staged, &err), 0));
	cr_assert(eq(int, err.kind, ERR_INCOMPATIBLE));
	cr_assert_str_eq(err.text, "sample.mode is 8, the machine has 7");
}

Test(state, equal_fields_of_elements_are_compared)
{
	struct sample staged = one;
	struct err err = {0};

	staged.ring[0].size++;
	cr_assert(lt(int, state_check_equal(&sample_table, &one, &staged, &err), 0));
	cr_assert(eq(int, err.kind, ERR_INCOMPATIBLE));
	cr_assert(ne(ptr, strstr(err.text, "ring.size"), NULL), "%s", err.text);

	staged = one;
	staged.ring[0].desc++;
	staged.ring[1].size++; /* beyond nrings */
	cr_assert(eq(int, state_check_equal(&sample_table, &one, &staged, &err), 0));
	staged.control.size++;
	cr_assert(lt(int, state_check_equal(&sample_table, &one, &staged, &err), 0));
}

Test(state, text_names_every_valid_element)
{
	struct buf out = {0};

	state_text(&sample_table, &one, "x.", &out);
	buf_add_u8(&out, 0);
	cr_assert(ne(ptr, strstr((char *)out.data, "x.mode = 7\n"), NULL), "%s", out.data);
	cr_assert(ne(ptr, strstr((char *)out.data, "x.ring[0].desc = 0x1122334455667788\n"), NULL),
		  "%s", out.data);
	cr_assert(eq(ptr, strstr((char *)out.data, "x.ring[1]"), NULL), "%s", out.data);
	buf_free(&out);
}

Test(state, the_schema_has_a_line_for_each_field)
{
	struct buf out = {0};
	unsigned lines = 0;

	state_schema(&sample_table, &out);
	for (size_t i = 0; i < out.len; i++)
		lines += out.data[i] == '\n';
	cr_assert(ge(uint, lines, 9 + 3));
	buf_free(&out);
}
