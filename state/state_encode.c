/* Encoding a struct by its state table; see state.h for the bytes. Pure. */
#include "state/state.h"

#include <string.h>

#include "base/assert.h"
#include "base/num.h"
#include "state/state_field.h"

static void encode_scalars(const uint8_t *from, uint32_t width, uint32_t count, struct buf *out)
{
	for (uint32_t i = 0; i < count; i++, from += width)
		buf_add(out, field_scalar(from, width).bytes, width);
}

static void encode_structs(const struct state_field *field, const uint8_t *from, uint32_t count,
			   struct buf *out)
{
	const struct state_table *element = field->elements->table;

	for (uint32_t i = 0; i < count; i++, from += element->size) {
		size_t head = out->len;

		buf_add_le32(out, 0);
		state_encode(element, from, out);
		if (!buf_failed(out))
			le_put32(out->data + head, (uint32_t)(out->len - head - 4));
	}
}

static void encode_field(const struct state_field *field, const uint8_t *obj, struct buf *out)
{
	uint32_t count = field_count(field, obj);
	size_t head;

	assert(count <= field_capacity(field));
	buf_add_le16(out, field->tag);
	buf_add_u8(out, field->width);
	buf_add_u8(out, 0);
	head = out->len;
	buf_add_le32(out, 0);
	if (field->width == 0)
		encode_structs(field, obj + field->offset, count, out);
	else
		encode_scalars(obj + field->offset, field->width, count, out);
	if (!buf_failed(out))
		le_put32(out->data + head, (uint32_t)(out->len - head - 4));
}

void state_encode(const struct state_table *table, const void *obj, struct buf *out)
{
	for (uint32_t i = 0; i < table->nfields; i++) {
		if (table->fields[i].width != STATE_PADDING)
			encode_field(&table->fields[i], obj, out);
	}
}
