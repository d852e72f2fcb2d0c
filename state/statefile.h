/*
 * The state blob: named sections, each the encoding of one state table.
 *
 *     "TORPORST" | le32 format (1) | le32 sections | section ...
 *     section: le16 name bytes | le16 table version | le32 payload bytes | name | payload
 *
 * Section names are `DEVICE` or `DEVICE.PART`, unique, printable ASCII up to 63 bytes. Writing:
 * statefile_begin, statefile_add for each, statefile_end. Reading: statefile_parse checks the whole
 * frame and borrows the bytes; statefile_load decodes one section into staging memory; at the end
 * statefile_all_used refuses a section that was not loaded (of a device this machine lacks).
 *
 * Functions that return int return 0, or -EINVAL or -ENOMEM with *err set: ERR_INTEGRITY for a
 * damaged blob or a missing section, ERR_INCOMPATIBLE for another format, a newer table version and
 * a section that was not loaded. statefile_end() has errors of its own. Running out of memory is
 * sticky in `out`.
 */
#ifndef TORPOR_STATE_STATEFILE_H
#define TORPOR_STATE_STATEFILE_H

#include <stdbool.h>

#include "state/state.h"

#define STATEFILE_MAX_SECTIONS 4096u
#define STATEFILE_MAX_BYTES    (256u << 20)
#define STATEFILE_NAME_MAX     63u

void statefile_begin(struct buf *out);
void statefile_add(struct buf *out, const char *name, const struct state_table *table,
		   const void *obj);
/* Returns 0; -ENOMEM when the buffer ran out of memory; -EINVAL with ERR_FAILED above
 * STATEFILE_MAX_BYTES. */
int statefile_end(struct buf *out, struct err *err);
/* A section that is not of a table: what `out` gets between the two is its payload. begin returns a mark
 * for end. */
size_t statefile_begin_section(struct buf *out, const char *name, uint16_t version);
void statefile_end_section(struct buf *out, size_t mark);

struct statefile_section {
	char name[STATEFILE_NAME_MAX + 1];
	uint16_t version;
	bool used;
	const uint8_t *data; /* borrowed from the parsed bytes */
	uint32_t len;
};

struct statefile {
	struct statefile_section *sections; /* owned */
	uint32_t nsections;
};

int statefile_parse(struct statefile *sf, const uint8_t *data, size_t len, struct err *err);
void statefile_free(struct statefile *sf);
#define cleanup_statefile __attribute__((cleanup(statefile_free)))

/* Decode section `name` into obj; missing is ERR_INTEGRITY. Marks it used. */
int statefile_load(struct statefile *sf, const char *name, const struct state_table *table,
		   void *obj, struct err *err);

/* The payload of a section of at most that version that is not of a table, borrowed; as statefile_load(). */
int statefile_find(struct statefile *sf, const char *name, uint16_t version, const uint8_t **data,
		   size_t *len, struct err *err);

int statefile_all_used(const struct statefile *sf, struct err *err);

#endif
