/* The state of arm64's vCPUs and chip, decoded by a build for another architecture: its tables are compiled
 * once more, under names of their own (arm64_tables.c). */
#include "snapshot/sections.h"
#include "tests/fuzz/arm64_tables.h"
#include "tests/fuzz/fuzz_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct statefile sf;
	struct err err = {0};
	int ret = statefile_parse(&sf, data, size, &err);

	fuzz_require_reason(ret, &err);
	if (ret < 0)
		return 0;
	fuzz_decode_section(&sf, section_of_vcpu(0).text, &arm64_vcpu_table);
	fuzz_decode_section(&sf, SECTION_VM, &arm64_vm_table);
	statefile_free(&sf);
	return 0;
}
