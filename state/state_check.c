/* Checking tables (for tests) and comparing a staged struct with the machine's; see state.h.
 * Pure. */
#include "state/state.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "state/state_field.h"

static int bad_table(struct err *err, const struct state_table *table,
		     const struct state_field *field, const char *what)
{
	return err_set(err, ERR_FAILED, "%s.%s: %s", table->name, field->name, what);
}

static bool has_table(const struct state_field *field)
{
	return field->elements != NULL && field->elements->table != NULL &&
	       field->elements->table->size != 0;
}

/* The count of a variable array must be a uint32_t member that is decoded before it. */
static int check_count(const struct state_table *table, const struct state_field *field,
		       struct err *err)
{
	for (uint32_t i = 0; i < table->nfields; i++) {
		const struct state_field *count = &table->fields[i];

		if (count->offset == field->elements->count_offset && count->width == 4 &&
		    count->size == 4 && count->tag < field->tag)
			return 0;
	}
	return bad_table(err, table, field, "its count is no uint32_t member with a lower tag");
}

static int check_field(const struct state_table *table, const struct state_field *field,
		       uint16_t version, struct err *err)
{
	if (field->width != 0 && field->width != 1 && field->width != 2 && field->width != 4 &&
	    field->width != 8)
		return bad_table(err, table, field, "no such width");
	if (field->width == 0 && !has_table(field))
		return bad_table(err, table, field, "a struct without a table");
	if (field->size % field_element(field) != 0)
		return bad_table(err, table, field, "its elements do not divide its size");
	if (field->since == 0 || field->since > version)
		return bad_table(err, table, field, "since a version that does not exist");
	if (field_varies(field) && check_count(table, field, err) < 0)
		return -EINVAL;
	return 0;
}

/* Every byte of the struct belongs to exactly one field. */
static int check_tiling(const struct state_table *table, struct err *err)
{
	uint64_t covered = 0;

	while (covered < table->size) {
		const struct state_field *next = NULL;

		for (uint32_t i = 0; i < table->nfields && next == NULL; i++) {
			if (table->fields[i].offset == covered && table->fields[i].size > 0)
				next = &table->fields[i];
		}
		if (next == NULL)
			return err_set(err, ERR_FAILED, "%s: byte %" PRIu64 " belongs to no field",
				       table->name, covered);
		covered += next->size;
	}
	return 0;
}

static int check_table(const struct state_table *table, uint16_t version, struct err *err)
{
	uint64_t total = 0;
	uint32_t last = 0;

	for (uint32_t i = 0; i < table->nfields; i++) {
		const struct state_field *field = &table->fields[i];
		int ret;

		total += field->size;
		if (field->width == STATE_PADDING)
			continue;
		if (field->tag <= last)
			return bad_table(err, table, field, "tags do not ascend");
		last = field->tag;
		ret = check_field(table, field, version, err);
		if (ret < 0)
			return ret;
		if (field->width == 0) {
			ret = check_table(field->elements->table, version, err);
			if (ret < 0)
				return ret;
		}
	}
	if (total != table->size)
		return err_set(err, ERR_FAILED, "%s: fields cover %" PRIu64 " of %u bytes",
			       table->name, total, table->size);
	return check_tiling(table, err);
}

int state_check_table(const struct state_table *table, struct err *err)
{
	return check_table(table, table->version, err);
}

static int differs(const struct state_table *table, const struct state_field *field,
		   const uint8_t *live, const uint8_t *staged, struct err *err)
{
	struct field_scalar have = field_scalar(live + field->offset, field->width);
	struct field_scalar want = field_scalar(staged + field->offset, field->width);

	if (field->size != field->width)
		return err_set(err, ERR_INCOMPATIBLE, "%s.%s differs from the machine's",
			       table->name, field->name);
	return err_set(err, ERR_INCOMPATIBLE, "%s.%s is %" PRIu64 ", the machine has %" PRIu64,
		       table->name, field->name, want.value, have.value);
}

/* The elements that both have: whether the numbers are equal, their own field says. */
static int check_equal_structs(const struct state_field *field, const uint8_t *live,
			       const uint8_t *staged, struct err *err)
{
	const struct state_table *element = field->elements->table;
	uint64_t count = u64_min(field_count(field, live), field_count(field, staged));

	for (uint64_t i = 0; i < count; i++) {
		size_t at = field->offset + (size_t)i * element->size;
		int ret = state_check_equal(element, live + at, staged + at, err);

		if (ret < 0)
			return ret;
	}
	return 0;
}

int state_check_equal(const struct state_table *table, const void *live, const void *staged,
		      struct err *err)
{
	for (uint32_t i = 0; i < table->nfields; i++) {
		const struct state_field *field = &table->fields[i];
		int ret;

		if (field->width == 0) {
			ret = check_equal_structs(field, live, staged, err);
			if (ret < 0)
				return ret;
		}
		if (!(field->flags & STATE_EQUAL))
			continue;
		if (memcmp((const uint8_t *)live + field->offset,
			   (const uint8_t *)staged + field->offset, field->size) != 0)
			return differs(table, field, live, staged, err);
	}
	return 0;
}
