/* State as readable text, and the schema listing of a table; see state.h. Pure. */
#include "state/state.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/num.h"
#include "state/state_field.h"

#define BYTES_SHOWN 32u

static void text_bytes(const uint8_t *p, uint32_t count, struct buf *out)
{
	for (uint32_t i = 0; i < count && i < BYTES_SHOWN; i++)
		buf_printf(out, "%02x", p[i]);
	if (count > BYTES_SHOWN)
		buf_printf(out, "... (%u bytes)", count);
}

static void text_numbers(const struct state_field *field, const uint8_t *p, uint32_t count,
			 struct buf *out)
{
	bool hex = field->flags & STATE_HEX;

	for (uint32_t i = 0; i < count; i++) {
		uint64_t value = field_scalar(p + (size_t)i * field->width, field->width).value;

		buf_printf(out, hex ? "%s0x%" PRIx64 : "%s%" PRIu64, i > 0 ? " " : "", value);
	}
}

static void text_structs(const struct state_field *field, const uint8_t *p, uint32_t count,
			 const char *prefix, struct buf *out)
{
	const struct state_table *element = field->elements->table;
	char path[256];

	for (uint32_t i = 0; i < count; i++) {
		if (field->size == element->size)
			snprintf(path, sizeof(path), "%s%s.", prefix, field->name);
		else
			snprintf(path, sizeof(path), "%s%s[%u].", prefix, field->name, i);
		state_text(element, p + (size_t)i * element->size, path, out);
	}
}

void state_text(const struct state_table *table, const void *obj, const char *prefix,
		struct buf *out)
{
	for (uint32_t i = 0; i < table->nfields; i++) {
		const struct state_field *field = &table->fields[i];
		const uint8_t *p = (const uint8_t *)obj + field->offset;
		uint32_t count;

		if (field->width == STATE_PADDING)
			continue;
		count = field_count(field, obj);
		if (field->width == 0) {
			text_structs(field, p, count, prefix, out);
			continue;
		}
		buf_printf(out, "%s%s = ", prefix, field->name);
		if (field->width == 1 && field->size > 1)
			text_bytes(p, count, out);
		else
			text_numbers(field, p, count, out);
		buf_printf(out, "\n");
	}
}

static void schema_fields(const struct state_table *table, const char *prefix, struct buf *out)
{
	for (uint32_t i = 0; i < table->nfields; i++) {
		const struct state_field *field = &table->fields[i];
		char path[256];

		if (field->width == STATE_PADDING)
			continue;
		buf_printf(out, "%s%s tag %u since %u width %u elements %s%u\n", prefix,
			   field->name, field->tag, field->since, field->width,
			   field_varies(field) ? "up to " : "", field_capacity(field));
		if (field->width != 0)
			continue;
		snprintf(path, sizeof(path), "%s%s.", prefix, field->name);
		schema_fields(field->elements->table, path, out);
	}
}

void state_schema(const struct state_table *table, struct buf *out)
{
	char path[128];

	buf_printf(out, "%s version %u\n", table->name, table->version);
	snprintf(path, sizeof(path), "%s.", table->name);
	schema_fields(table, path, out);
}
