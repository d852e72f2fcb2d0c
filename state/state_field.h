/* Private to the state_*.c files: what a field of a table means in memory. */
#ifndef TORPOR_STATE_STATE_FIELD_H
#define TORPOR_STATE_STATE_FIELD_H

#include <stdbool.h>
#include <string.h>

#include "base/num.h"
#include "state/state.h"

/* A scalar of any width, as a number and as its little-endian bytes. */
struct field_scalar {
	uint64_t value;
	uint8_t bytes[8];
};

static inline struct field_scalar field_scalar(const void *from, uint32_t width)
{
	struct field_scalar s = {0};

	switch (width) {
	case 1:
		s.value = *(const uint8_t *)from;
		break;
	case 2: {
		uint16_t v;

		memcpy(&v, from, sizeof(v));
		s.value = v;
		break;
	}
	case 4: {
		uint32_t v;

		memcpy(&v, from, sizeof(v));
		s.value = v;
		break;
	}
	default:
		memcpy(&s.value, from, sizeof(s.value));
	}
	le_put64(s.bytes, s.value);
	return s;
}

/* Bytes of one element in memory. */
static inline uint32_t field_element(const struct state_field *field)
{
	return field->width == 0 ? field->elements->table->size : field->width;
}

static inline uint32_t field_capacity(const struct state_field *field)
{
	return field->size / field_element(field);
}

/* Does *obj say how many elements are valid? */
static inline bool field_varies(const struct state_field *field)
{
	return field->elements != NULL && field->elements->count_offset != STATE_FIXED;
}

/* Valid elements in *obj. */
static inline uint32_t field_count(const struct state_field *field, const uint8_t *obj)
{
	uint32_t count;

	if (!field_varies(field))
		return field_capacity(field);
	memcpy(&count, obj + field->elements->count_offset, sizeof(count));
	return count;
}

#endif
