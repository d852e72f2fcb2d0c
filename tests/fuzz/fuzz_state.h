/* What the targets of the state blob share. */
#ifndef TORPOR_TESTS_FUZZ_FUZZ_STATE_H
#define TORPOR_TESTS_FUZZ_FUZZ_STATE_H

#include "state/statefile.h"
#include "tests/fuzz/fuzz.h"

/* What was accepted can be written, and read again as the same. */
void fuzz_require_canonical(const struct state_table *table, const void *obj);

/* Decode one section by its table. */
void fuzz_decode_section(struct statefile *sf, const char *section,
			 const struct state_table *table);

#endif
