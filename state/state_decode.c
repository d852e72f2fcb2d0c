/*
 * Decoding a struct by its state table; see state.h. The bytes are hostile: every length is checked
 * against what is left and against the table before anything is copied. Pure.
 */
#include "state/state.h"

#include <string.h>

#include "base/num.h"
#include "state/state_field.h"

#define FIELD_HEAD 8u

struct cursor {
	const uint8_t *at;
	size_t left;
};

struct wire_field {
	uint16_t tag;
	uint8_t width;
	uint32_t len;
	const uint8_t *data;
};

static int decode_struct(const struct state_table *table, uint16_t version, struct cursor c,
			 uint8_t *obj, struct err *err);

static int field_damaged(struct err *err, const struct state_table *table, const char *field,
			 const char *what)
{
	return err_set(err, ERR_INTEGRITY, "%s%s%s: %s", table->name, field[0] != '\0' ? "." : "",
		       field, what);
}

static int next_wire_field(struct cursor *c, const struct state_table *table,
			   struct wire_field *wire, struct err *err)
{
	if (c->left < FIELD_HEAD)
		return field_damaged(err, table, "", "truncated");
	*wire = (struct wire_field){
		.tag = le_get16(c->at),
		.width = c->at[2],
		.len = le_get32(c->at + 4),
		.data = c->at + FIELD_HEAD,
	};
	if (c->at[3] != 0)
		return field_damaged(err, table, "", "a reserved byte is not zero");
	if (wire->len > c->left - FIELD_HEAD)
		return field_damaged(err, table, "", "a field is longer than the data");
	c->at += FIELD_HEAD + wire->len;
	c->left -= FIELD_HEAD + wire->len;
	return 0;
}

static void store_scalar(uint8_t *to, const uint8_t *from, uint32_t width)
{
	uint16_t v16;
	uint32_t v32;
	uint64_t v64;

	switch (width) {
	case 1:
		*to = *from;
		break;
	case 2:
		v16 = le_get16(from);
		memcpy(to, &v16, sizeof(v16));
		break;
	case 4:
		v32 = le_get32(from);
		memcpy(to, &v32, sizeof(v32));
		break;
	default:
		v64 = le_get64(from);
		memcpy(to, &v64, sizeof(v64));
	}
}

static int decode_scalars(const struct state_table *table, const struct state_field *field,
			  const struct wire_field *wire, uint8_t *obj, struct err *err)
{
	uint64_t count = field_count(field, obj);

	if (wire->len != count * field->width)
		return field_damaged(err, table, field->name, "wrong length");
	for (uint64_t i = 0; i < count; i++)
		store_scalar(obj + field->offset + i * field->width, wire->data + i * field->width,
			     field->width);
	return 0;
}

static int decode_structs(const struct state_table *table, const struct state_field *field,
			  const struct wire_field *wire, uint16_t version, uint8_t *obj,
			  struct err *err)
{
	const struct state_table *element = field->elements->table;
	struct cursor c = {.at = wire->data, .left = wire->len};
	uint32_t count = field_count(field, obj);

	for (uint32_t i = 0; i < count; i++) {
		uint32_t len;
		int ret;

		if (c.left < 4)
			return field_damaged(err, table, field->name, "truncated");
		len = le_get32(c.at);
		if (len > c.left - 4)
			return field_damaged(err, table, field->name,
					     "an element is longer than the data");
		ret = decode_struct(element, version, (struct cursor){c.at + 4, len},
				    obj + field->offset + (size_t)i * element->size, err);
		if (ret < 0)
			return err_context(err, ret, "%s.%s[%u]", table->name, field->name, i);
		c.at += 4 + len;
		c.left -= 4 + len;
	}
	return c.left == 0
		       ? 0
		       : field_damaged(err, table, field->name, "bytes behind the last element");
}

static int decode_field(const struct state_table *table, const struct state_field *field,
			const struct wire_field *wire, uint16_t version, uint8_t *obj,
			struct err *err)
{
	if (wire->width != field->width)
		return field_damaged(err, table, field->name, "wrong width");
	if (field_count(field, obj) > field_capacity(field))
		return field_damaged(err, table, field->name,
				     "more elements than there is room for");
	if (field->width == 0)
		return decode_structs(table, field, wire, version, obj, err);
	return decode_scalars(table, field, wire, obj, err);
}

/* Take the wire field for `field`, passing over optional ones this build does not know. */
static int take_field(struct cursor *c, const struct state_table *table,
		      const struct state_field *field, struct wire_field *wire, uint32_t *last,
		      struct err *err)
{
	for (;;) {
		int ret = next_wire_field(c, table, wire, err);

		if (ret < 0)
			return err_context(err, ret, "looking for %s", field->name);
		if (wire->tag == field->tag && wire->tag > *last) {
			*last = wire->tag;
			return 0;
		}
		if (!(wire->tag & STATE_TAG_OPTIONAL) || wire->tag <= *last ||
		    wire->tag > field->tag)
			return field_damaged(err, table, field->name,
					     "missing, or another field in its place");
		*last = wire->tag;
	}
}

/* Behind the last known field only unknown optional ones may stand. */
static int skip_rest(struct cursor *c, const struct state_table *table, uint32_t last,
		     struct err *err)
{
	struct wire_field wire;

	while (c->left > 0) {
		int ret = next_wire_field(c, table, &wire, err);

		if (ret < 0)
			return ret;
		if (!(wire.tag & STATE_TAG_OPTIONAL) || wire.tag <= last)
			return field_damaged(err, table, "",
					     "an unknown, repeated or unordered field");
		last = wire.tag;
	}
	return 0;
}

static int decode_struct(const struct state_table *table, uint16_t version, struct cursor c,
			 uint8_t *obj, struct err *err)
{
	struct wire_field wire;
	uint32_t last = 0;

	for (uint32_t i = 0; i < table->nfields; i++) {
		const struct state_field *field = &table->fields[i];
		int ret;

		if (field->width == STATE_PADDING || field->since > version)
			continue;
		ret = take_field(&c, table, field, &wire, &last, err);
		if (ret < 0)
			return ret;
		ret = decode_field(table, field, &wire, version, obj, err);
		if (ret < 0)
			return ret;
	}
	return skip_rest(&c, table, last, err);
}

int state_decode(const struct state_table *table, uint16_t version, const uint8_t *data, size_t len,
		 void *obj, struct err *err)
{
	memset(obj, 0, table->size);
	if (version > table->version)
		return err_set(err, ERR_INCOMPATIBLE, "%s: version %u is newer than %u",
			       table->name, version, table->version);
	if (version == 0)
		return err_set(err, ERR_INTEGRITY, "%s: there is no version 0", table->name);
	return decode_struct(table, version, (struct cursor){data, len}, obj, err);
}
