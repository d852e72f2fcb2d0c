/*
 * Every state table of the machine: fields tile, schemas equal the committed listing, the bytes of
 * a machine that never ran are golden, and damaged bytes are refused or canonical.
 *
 * After a wanted change of a table raise its version, then run the runner with UPDATE_GOLDEN=1 and
 * commit what it writes under tests/golden/. Golden bytes of shipped versions are never rewritten.
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "share/record.h"
#include "tests/unit/fake_board.h"
#include "vmm/arch.h"

#define SCHEMA	   "tests/golden/schema-" ARCH_NAME ".txt"
#define STATES	   "tests/golden/states-" ARCH_NAME ".txt"
#define MAX_TABLES 32u
#define FILE_MAX   (1u << 20)

static struct fake_board board;

/* The tables, each once, in the order of the board. */
struct table_list {
	const struct state_table *table[MAX_TABLES];
	unsigned count;
};

static void teardown(void)
{
	fake_board_free(&board);
}

TestSuite(tables, .fini = teardown);

static void add_table(struct table_list *list, const struct state_table *table)
{
	for (unsigned i = 0; i < list->count; i++) {
		if (list->table[i] == table)
			return;
	}
	cr_assert(lt(uint, list->count, MAX_TABLES));
	list->table[list->count++] = table;
}

static struct table_list all_tables(void)
{
	struct table_list list = {.count = 0};

	add_table(&list, &arch_vcpu_table);
	add_table(&list, &arch_vm_table);
	for (unsigned i = 0; i < board.m.ndevices; i++) {
		for (unsigned p = 0; p < board.m.devices[i]->nparts; p++)
			add_table(&list, board.m.devices[i]->part[p].table);
	}
	add_table(&list, &share_folder_table);
	add_table(&list, &share_file_table);
	return list;
}

/* The whole file with a NUL behind it; "" where it does not exist. */
static char *read_golden(const char *path)
{
	char *text = calloc(1, FILE_MAX);
	cleanup_file FILE *f = fopen(path, "r");

	cr_assert(ne(ptr, text, NULL));
	if (f != NULL)
		cr_assert(lt(sz, fread(text, 1, FILE_MAX - 1, f), FILE_MAX - 1));
	return text;
}

static void write_golden(const char *path, const char *text)
{
	cleanup_file FILE *f = fopen(path, "w");

	cr_assert(ne(ptr, f, NULL), "cannot write %s: run it in the root of the tree", path);
	fputs(text, f);
}

/* Name the first line that differs. */
static void expect_golden(const char *path, const char *text)
{
	cleanup_free char *golden = NULL;
	size_t at = 0, line = 0;

	if (getenv("UPDATE_GOLDEN") != NULL)
		write_golden(path, text);
	golden = read_golden(path);
	while (golden[at] != '\0' && golden[at] == text[at])
		at++;
	if (golden[at] == text[at])
		return;
	while (at > 0 && text[at - 1] != '\n')
		at--;
	for (size_t i = 0; i < at; i++)
		line += text[i] == '\n';
	cr_fatal("%s, line %zu: is now\n%.*s\nWanted? See the head of this file.", path, line + 1,
		 (int)strcspn(text + at, "\n"), text + at);
}

Test(tables, fields_tile_every_struct)
{
	struct table_list list;

	if (!fake_board_init(&board))
		return;
	list = all_tables();
	cr_assert(ge(uint, list.count, 9));
	for (unsigned i = 0; i < list.count; i++) {
		struct err err = {0};

		cr_assert(eq(int, state_check_table(list.table[i], &err), 0), "%s", err.text);
	}
}

Test(tables, schemas_are_the_committed_ones)
{
	cleanup_buf struct buf out = {0};
	struct table_list list;

	if (!fake_board_init(&board))
		return;
	list = all_tables();
	for (unsigned i = 0; i < list.count; i++)
		state_schema(list.table[i], &out);
	buf_add_u8(&out, 0);
	expect_golden(SCHEMA, (const char *)out.data);
}

/* Not the same from run to run: drawn by chance. */
static bool is_random(const struct device *dev)
{
	return strcmp(dev->id, "vmgenid") == 0;
}

static void add_hex(struct buf *out, const struct buf *bytes)
{
	for (size_t i = 0; i < bytes->len; i++)
		buf_printf(out, "%s%02x", i % 32 == 0 && i > 0 ? "\n\t" : "", bytes->data[i]);
	buf_printf(out, "\n");
}

Test(tables, a_new_machine_has_the_committed_bytes)
{
	cleanup_buf struct buf out = {0};

	if (!fake_board_init(&board))
		return;
	for (unsigned i = 0; i < board.m.ndevices; i++) {
		const struct device *dev = board.m.devices[i];

		for (unsigned p = 0; p < dev->nparts && !is_random(dev); p++) {
			cleanup_buf struct buf bytes = {0};

			state_encode(dev->part[p].table, dev->part[p].state, &bytes);
			buf_printf(&out, "%s %s version %u\n\t", dev->id, dev->part[p].table->name,
				   dev->part[p].table->version);
			add_hex(&out, &bytes);
		}
	}
	buf_add_u8(&out, 0);
	expect_golden(STATES, (const char *)out.data);
}

/* Fill a struct through its table with bytes of a pattern, counts at half their capacity. */
static void fill(const struct state_table *table, uint8_t *obj, uint64_t *seed)
{
	for (uint32_t i = 0; i < table->nfields; i++) {
		const struct state_field *f = &table->fields[i];

		if (f->width == STATE_PADDING)
			continue;
		for (uint32_t at = 0; at < f->size;
		     at += f->width == 0 ? f->elements->table->size : 1) {
			*seed = *seed * 6364136223846793005u + 1442695040888963407u;
			if (f->width == 0)
				fill(f->elements->table, obj + f->offset + at, seed);
			else
				obj[f->offset + at] = (uint8_t)(*seed >> 56);
		}
	}
	for (uint32_t i = 0; i < table->nfields; i++) {
		const struct state_field *f = &table->fields[i];
		uint32_t count;

		if (f->elements == NULL || f->elements->count_offset == STATE_FIXED)
			continue;
		count = f->size / (f->width == 0 ? f->elements->table->size : f->width);
		count = count > 6 ? 3 : count / 2;
		memcpy(obj + f->elements->count_offset, &count, sizeof(count));
	}
}

/* A table's bytes for a filled struct. */
static struct buf sample(const struct state_table *table)
{
	cleanup_free uint8_t *obj = calloc(1, table->size);
	struct buf out = {0};
	uint64_t seed = 1;

	cr_assert(ne(ptr, obj, NULL));
	fill(table, obj, &seed);
	state_encode(table, obj, &out);
	cr_assert_not(buf_failed(&out));
	return out;
}

/* Decode a copy of the exact size (ASan sees what lies behind it); returns whether it was taken,
 * and fails when what was taken does not encode to the same bytes. */
static bool taken(const struct state_table *table, const uint8_t *data, size_t len)
{
	cleanup_free uint8_t *obj = malloc(table->size), *copy = malloc(len > 0 ? len : 1);
	cleanup_buf struct buf again = {0};

	memcpy(copy, data, len);
	if (state_decode(table, table->version, copy, len, obj, NULL) < 0)
		return false;
	state_encode(table, obj, &again);
	cr_assert(eq(sz, again.len, len), "%s", table->name);
	cr_assert_arr_eq(again.data, data, len, "%s", table->name);
	return true;
}

/* Large states are sampled: a prime step reaches every field sooner or later. */
static size_t step_for(size_t len)
{
	return len > 2000 ? 37 : 1;
}

Test(tables, every_truncation_is_refused)
{
	struct table_list list;

	if (!fake_board_init(&board))
		return;
	list = all_tables();
	for (unsigned i = 0; i < list.count; i++) {
		cleanup_buf struct buf bytes = sample(list.table[i]);

		cr_assert(taken(list.table[i], bytes.data, bytes.len));
		for (size_t len = 0; len < bytes.len; len += step_for(bytes.len))
			cr_assert_not(taken(list.table[i], bytes.data, len), "%s: %zu of %zu",
				      list.table[i]->name, len, bytes.len);
	}
}

Test(tables, a_changed_byte_is_refused_or_canonical)
{
	static const uint8_t flips[] = {0x01, 0x80, 0xff};
	struct table_list list;

	if (!fake_board_init(&board))
		return;
	list = all_tables();
	for (unsigned i = 0; i < list.count; i++) {
		cleanup_buf struct buf bytes = sample(list.table[i]);
		unsigned refused = 0;

		for (size_t at = 0; at < bytes.len; at += step_for(bytes.len)) {
			for (size_t f = 0; f < ARRAY_SIZE(flips); f++) {
				bytes.data[at] ^= flips[f];
				refused += !taken(list.table[i], bytes.data, bytes.len);
				bytes.data[at] ^= flips[f];
			}
		}
		cr_assert(ge(uint, refused, 1), "%s", list.table[i]->name);
	}
}
