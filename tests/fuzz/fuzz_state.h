/* What the targets of the state blob share. */
#ifndef TORPOR_TESTS_FUZZ_FUZZ_STATE_H
#define TORPOR_TESTS_FUZZ_FUZZ_STATE_H

#include "state/statefile.h"
#include "tests/fuzz/fuzz.h"

/* What was accepted can be written, and read again as the same. */
void fuzz_require_canonical(const struct state_table *table, const void *obj);

/* An input as the state of a machine: the sections of a vCPU and of the VM by these tables, each by itself, for in a
 * whole machine's state the first mistake ends it. Then `whole`, if any. */
void fuzz_decode_state(const uint8_t *data, size_t size, const struct state_table *vcpu,
		       const struct state_table *vm, void (*whole)(struct statefile *sf));

#endif
