/* The state blob: its frame, the tables of CPUs, chips and devices, and every check that stands
 * before anything is applied. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot/staged.h"
#include "tests/fuzz/fuzz_state.h"
#include "tests/unit/fake_board.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct fake_board board;
static bool have_board;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	have_board = fake_board_init(&board);
	if (!have_board)
		fputs("no KVM: only what needs no machine is fuzzed\n", stderr);
	return 0;
}

static void check_staged(const struct staged *staged)
{
	fuzz_require_canonical(&arch_vcpu_table, staged->vcpus);
	fuzz_require_canonical(&arch_vm_table, staged->vm);
	for (unsigned i = 0; i < staged->ndevices; i++) {
		for (unsigned p = 0; p < staged->device[i].dev->nparts; p++)
			fuzz_require_canonical(staged->device[i].dev->part[p].table,
					       staged->device[i].part[p]);
	}
}

static void check_device(struct statefile *sf, struct device *dev)
{
	struct staged staged = {.ndevices = 1, .device[0].dev = dev};
	struct err err = {0};

	fuzz_require_reason(staged_load_device(&staged.device[0], sf, &err), &err);
	staged_free(&staged);
}

static void check_machine(struct statefile *sf)
{
	struct staged staged = {0};
	struct err err = {0};
	int ret = staged_load(&staged, &board.m, sf, &err);

	fuzz_require_reason(ret, &err);
	if (ret == 0)
		check_staged(&staged);
	staged_free(&staged);
	for (unsigned i = 0; i < board.m.ndevices; i++)
		check_device(sf, board.m.devices[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_decode_state(data, size, &arch_vcpu_table, &arch_vm_table,
			  have_board ? check_machine : NULL);
	return 0;
}
