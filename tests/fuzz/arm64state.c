/* The state of arm64's vCPUs and chip, decoded by a build for another architecture: its tables are compiled
 * once more, under names of their own (arm64_tables.c). */
#include "tests/fuzz/arm64_tables.h"
#include "tests/fuzz/fuzz_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_decode_state(data, size, &arm64_vcpu_table, &arm64_vm_table, NULL);
	return 0;
}
