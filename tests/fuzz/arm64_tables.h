/* arm64's state tables in a program of any architecture. */
#ifndef TORPOR_TESTS_FUZZ_ARM64_TABLES_H
#define TORPOR_TESTS_FUZZ_ARM64_TABLES_H

#include "state/state.h"

extern const struct state_table arm64_vcpu_table, arm64_vm_table;

#endif
