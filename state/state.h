/*
 * State tables: how a plain-data struct is written into the file, field by field.
 *
 * A device, vCPU or chip keeps what must survive a save in one `struct X_state` of fixed-width
 * members (guest addresses only, explicit padding) and describes it in one const table. From the
 * table come the encoder, the decoder, the text of `torpor inspect` and the schema listing that
 * tests/golden holds. state_check_table() proves that the fields tile the struct, so a member that
 * was forgotten in the table fails a test instead of being lost on resume.
 *
 * On disk (little-endian, format/torpor.5 is the reference) a struct is its fields in strictly
 * ascending tag order, each exactly once:
 *
 *     le16 tag | u8 width | u8 zero | le32 bytes | payload
 *
 * width is 1, 2, 4 or 8 for scalars and arrays of them (bytes = width * elements), 0 for structs,
 * whose payload is, for each element, le32 bytes and then its own fields. There is one encoding
 * for one state. A decoder refuses missing, duplicate, unordered and over-long fields, bytes
 * behind the end, and unknown tags without STATE_TAG_OPTIONAL.
 *
 * The functions here are pure; any thread may call them.
 */
#ifndef TORPOR_STATE_STATE_H
#define TORPOR_STATE_STATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/* Set in a tag: a reader that does not know the field may ignore it. */
#define STATE_TAG_OPTIONAL 0x8000u

enum state_flags {
	STATE_EQUAL = 1, /* must equal what the configured machine has; state_check_equal() */
	STATE_HEX = 2,	 /* inspect prints it in hexadecimal */
};

struct state_table;

/* There are hundreds: the numbers are as narrow as our structs allow, and a wider one does not
 * compile without a warning. */
struct state_field {
	const char *name;
	const struct state_elements *elements; /* NULL: scalars, all of them valid */
	uint16_t tag;			       /* for ever; never reused */
	uint16_t offset;
	uint16_t size; /* sizeof the member */
	uint8_t since; /* version of the outermost table that added it; in older data: all zero */
	uint8_t flags : 4; /* enum state_flags */
	uint8_t width : 4; /* 1, 2, 4, 8: scalar or array of them; 0: struct; STATE_PADDING */
};

#define STATE_PADDING 0xfu /* not written; must be zero */

/* What a field has in addition when its elements are structs, or when their number varies. */
struct state_elements {
	const struct state_table *table; /* of each element, when width is 0 */
	uint16_t count_offset; /* offset of the uint32_t member with the number of valid elements
				  (its own field must have a lower tag), or STATE_FIXED */
};

#define STATE_FIXED UINT16_MAX /* all elements are valid */

struct state_table {
	const char *name;
	uint16_t version; /* raised whenever a field is added here or in a sub-table */
	uint32_t size;	  /* sizeof the struct */
	uint32_t nfields;
	const struct state_field *fields; /* ascending tags; padding anywhere */
};

/* The width of a scalar lvalue; another type does not compile. */
#define STATE_WIDTH(lvalue)                                                                        \
	_Generic((lvalue), uint8_t : 1, uint16_t : 2, uint32_t : 4, unsigned long : 8,             \
		 unsigned long long : 8, long long : 8)

#define STATE_MEMBER_(type, member) (((type *)0)->member)

#define STATE_FIELD_(type, member, tag_, since_, flags_, width_, elements_)                        \
	{                                                                                          \
		.name = #member, .tag = (tag_), .since = (since_), .flags = (flags_),              \
		.width = (width_), .offset = offsetof(type, member),                               \
		.size = sizeof(STATE_MEMBER_(type, member)), .elements = (elements_)               \
	}

#define STATE_ELEMENTS_(table_, count_)                                                            \
	(&(const struct state_elements){.table = (table_), .count_offset = (count_)})

/* One scalar. */
#define STATE_SCALAR(type, member, tag, since, flags)                                              \
	STATE_FIELD_(type, member, tag, since, flags, STATE_WIDTH(STATE_MEMBER_(type, member)),    \
		     NULL)

/* A fixed array of scalars (bytes included). */
#define STATE_ARRAY(type, member, tag, since, flags)                                               \
	STATE_FIELD_(type, member, tag, since, flags, STATE_WIDTH(STATE_MEMBER_(type, member)[0]), \
		     NULL)

/* The first `count` elements of an array of scalars. `count` names a uint32_t member. */
#define STATE_VARRAY(type, member, count, tag, since, flags)                                       \
	STATE_FIELD_(type, member, tag, since, flags, STATE_WIDTH(STATE_MEMBER_(type, member)[0]), \
		     STATE_ELEMENTS_(NULL, offsetof(type, count)))

/* One struct, or a fixed array of them. */
#define STATE_STRUCT(type, member, tag, since, table)                                              \
	STATE_FIELD_(type, member, tag, since, 0, 0, STATE_ELEMENTS_(table, STATE_FIXED))

/* The first `count` elements of an array of structs. */
#define STATE_VSTRUCT(type, member, count, tag, since, table)                                      \
	STATE_FIELD_(type, member, tag, since, 0, 0, STATE_ELEMENTS_(table, offsetof(type, count)))

/* Explicit padding. */
#define STATE_PAD(type, member) STATE_FIELD_(type, member, 0, 0, 0, STATE_PADDING, NULL)

#define STATE_TABLE(name_, version_, type, fields_)                                                \
	{                                                                                          \
		.name = (name_), .version = (version_), .size = sizeof(type),                      \
		.nfields = sizeof(fields_) / sizeof((fields_)[0]), .fields = (fields_)             \
	}

/* Prove that the fields tile the struct exactly, tags ascend, counts are uint32_t members with a
 * lower tag, sub-tables divide their member, and `since` is no later than the version. Tests call
 * it. Returns 0, or -EINVAL with ERR_FAILED, which names table and field. */
int state_check_table(const struct state_table *table, struct err *err);

/* Append the encoding of *obj. Counts beyond an array's capacity are our bug (assert). Running out
 * of memory is sticky in `out`, here and below. */
void state_encode(const struct state_table *table, const void *obj, struct buf *out);

/* Decode exactly [data, data + len), written by `version` of the table, into *obj (table->size
 * bytes; cleared first). Returns 0, or -EINVAL: with ERR_INCOMPATIBLE for a version newer than the
 * table's, with ERR_INTEGRITY for version 0 and for damaged data (it names the field). On error
 * *obj is unspecified but initialised. */
int state_decode(const struct state_table *table, uint16_t version, const uint8_t *data, size_t len,
		 void *obj, struct err *err);

/* Compare the STATE_EQUAL fields of a staged struct, and of its elements that are structs, with the
 * live one. Returns 0, or -EINVAL with ERR_INCOMPATIBLE, which names the first that differs (a
 * scalar with both values). */
int state_check_equal(const struct state_table *table, const void *live, const void *staged,
		      struct err *err);

/* Append readable text, one `path = value` line a field, each with `prefix` before the name. */
void state_text(const struct state_table *table, const void *obj, const char *prefix,
		struct buf *out);

/* Append the schema: one line a field (name, tag, since, width, elements). */
void state_schema(const struct state_table *table, struct buf *out);

#endif
