/*
 * A file is untrusted: whatever the state of a device says, the device refuses it or lives with it.
 * Bytes of a busy machine's state are changed at random, what passes the checks is put in place as
 * a resume does, and then the guest's side is poked. The sanitizer build watches.
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "tests/unit/fake_board.h"
#include "vmm/x86_64/platform.h"

#define ROUNDS 3000u
#define POKES  300u

static const uint16_t ports[] = {0x60,	0x64,  0x70,  0x71,  0x3f8, 0x3f9, 0x3fa,
				 0x3fb, 0x3fc, 0x3fd, 0x3fe, 0x3ff, 0x600, 0x602,
				 0x603, 0x604, 0x605, 0x608, 0x609};

static struct fake_board board;
static uint64_t seed = 0x9e3779b97f4a7c15;

static void teardown(void)
{
	fake_board_free(&board);
}

TestSuite(hostile_state, .fini = teardown);

static uint32_t chance(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 32) % below;
}

/* A damaged copy of one part, decoded; false when the decoder already refuses it. */
static bool stage(const struct device_part *part, void *staged)
{
	cleanup_buf struct buf bytes = {0};

	state_encode(part->table, part->state, &bytes);
	cr_assert_not(buf_failed(&bytes));
	for (uint32_t n = chance(4); n > 0; n--)
		bytes.data[chance((uint32_t)bytes.len)] ^= (uint8_t)(1u << chance(8));
	return state_decode(part->table, part->table->version, bytes.data, bytes.len, staged,
			    NULL) == 0;
}

/* As snapshot/resume does it for one device. Returns whether the state was taken. */
static bool wake(struct device *dev)
{
	void *staged[DEVICE_MAX_PARTS] = {NULL};
	bool fine = true;

	for (unsigned p = 0; p < dev->nparts; p++) {
		staged[p] = calloc(1, dev->part[p].table->size);
		fine = fine && stage(&dev->part[p], staged[p]) &&
		       state_check_equal(dev->part[p].table, dev->part[p].state, staged[p], NULL) ==
			       0;
	}
	fine = fine && dev->ops->check(dev, staged, NULL) == 0;
	for (unsigned p = 0; p < dev->nparts; p++) {
		if (fine)
			memcpy(dev->part[p].state, staged[p], dev->part[p].table->size);
		free(staged[p]);
	}
	if (fine && dev->ops->loaded != NULL)
		cr_assert(eq(int, dev->ops->loaded(dev, NULL), 0), "%s", dev->id);
	return fine;
}

static void poke(void)
{
	uint8_t data[4];
	uint64_t addr;

	le_put32(data, chance(4) == 0 ? chance(UINT32_MAX) : chance(16));
	addr = X86_VIRTIO_BASE + chance(3) * X86_VIRTIO_STRIDE + chance(0x140 / 4) * 4;
	switch (chance(6)) {
	case 0:
		bus_read(&board.m.mmio, addr, data, 4);
		break;
	case 1:
		bus_write(&board.m.mmio, addr, data, 4);
		break;
	case 2:
		board.board.serial->input(board.board.serial, data, 4);
		break;
	case 3:
		board.board.console->input(board.board.console, data, 4);
		break;
	case 4:
		fake_in(&board, ports[chance(ARRAY_SIZE(ports))], 1);
		break;
	default:
		fake_out(&board, ports[chance(ARRAY_SIZE(ports))], le_get32(data), 1);
	}
}

/* What is ready on the loop, once; the guest may well have asked for its end. */
static void serve(void)
{
	struct err err;

	board.m.end = MACHINE_END_NONE;
	board.m.reset_requested = false;
	loop_stop(&board.m.loop);
	cr_assert(eq(int, loop_run(&board.m.loop, &err), 0));
}

Test(hostile_state, is_refused_or_survived)
{
	unsigned taken = 0, refused = 0;

	if (!fake_board_init(&board))
		return;
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < board.m.ndevices; i++) {
			if (wake(board.m.devices[i]))
				taken++;
			else
				refused++;
			if (board.m.devices[i]->ops->start != NULL)
				board.m.devices[i]->ops->start(board.m.devices[i]);
		}
		for (unsigned i = 0; i < POKES; i++)
			poke();
		serve();
		for (unsigned i = 0; i < board.m.ndevices; i++) {
			if (board.m.devices[i]->ops->quiesce != NULL)
				board.m.devices[i]->ops->quiesce(board.m.devices[i]);
		}
	}
	cr_assert(ge(uint, taken, ROUNDS / 2));
	cr_assert(ge(uint, refused, ROUNDS / 2));
}

/* Only judged, not given to the host's kernel: that would test KVM. */
Test(hostile_state, of_a_cpu_is_judged_without_harm)
{
	void *vcpu = calloc(1, arch_vcpu_table.size), *vm = calloc(1, arch_vm_table.size);
	void *staged = calloc(1, arch_vcpu_table.size);
	const struct device_part parts[] = {{"", &arch_vcpu_table, vcpu}, {"", &arch_vm_table, vm}};
	struct err err;

	cr_assert(vcpu != NULL && vm != NULL && staged != NULL);
	if (!fake_board_init(&board)) {
		free(vcpu);
		free(vm);
		free(staged);
		return;
	}
	cr_assert(eq(int, arch_vcpu_save(&board.m.kvm, &board.m.vcpus[0].kvm, vcpu, &err), 0), "%s",
		  err.text);
	cr_assert(eq(int, arch_vm_save(&board.m.kvm, NULL, vm, &err), 0), "%s", err.text);
	for (unsigned round = 0; round < ROUNDS; round++) {
		if (stage(&parts[0], staged))
			(void)arch_vcpu_check(&board.m.kvm, staged, 0, &err);
		if (stage(&parts[1], staged))
			(void)arch_vm_check(&board.m.kvm, staged, &err);
	}
	free(vcpu);
	free(vm);
	free(staged);
}
