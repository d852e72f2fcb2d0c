/* x86-64's part of the tests; see tests/kvm/arch_guest.h. */
#include "tests/kvm/arch_guest.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "vmm/x86_64/platform.h"
#include "vmm/x86_64/state.h"

const uint64_t arch_kernel_offset = 0x100000, arch_tables_offset = X86_ACPI_START;
const char arch_restart_command[] = "triple";

#define LAPIC_TMCCT 0x390u /* counts down by itself */

uint64_t arch_state_clock(const void *vm_state)
{
	return ((const struct x86_vm_state *)vm_state)->clock_ns;
}

/* What runs on: the TSC, the clock, the count of the LAPIC's timer. */
void arch_read_state(struct machine *m,
		     void (*add)(void *opaque, const char *name, const void *bytes, size_t len),
		     void *opaque)
{
	cleanup_free struct x86_vcpu_state *vcpu = malloc(sizeof(*vcpu));
	struct x86_vm_state vm;
	struct err err;

	for (uint32_t i = 0; i < m->nvcpus; i++) {
		cr_assert(arch_vcpu_save(&m->kvm, &m->vcpus[i].kvm, vcpu, &err) == 0, "%s",
			  err.text);
		le_put32(vcpu->lapic + LAPIC_TMCCT, 0);
		for (uint32_t k = 0; k < vcpu->nmsrs; k++) {
			if (vcpu->msr[k].index == X86_MSR_TSC)
				vcpu->msr[k].data = 0;
		}
		add(opaque, "regs", &vcpu->regs, sizeof(vcpu->regs));
		add(opaque, "sregs", &vcpu->sregs, sizeof(vcpu->sregs));
		add(opaque, "debugregs", &vcpu->debugregs, sizeof(vcpu->debugregs));
		add(opaque, "events", &vcpu->events, sizeof(vcpu->events));
		add(opaque, "xcr", vcpu->xcr, sizeof(vcpu->xcr));
		add(opaque, "xsave", vcpu->xsave, sizeof(vcpu->xsave));
		add(opaque, "lapic", vcpu->lapic, sizeof(vcpu->lapic));
		add(opaque, "msr", vcpu->msr, sizeof(vcpu->msr));
		add(opaque, "vcpu", vcpu, sizeof(*vcpu));
	}
	cr_assert(arch_vm_save(&m->kvm, NULL, &vm, &err) == 0, "%s", err.text);
	vm.clock_ns = 0;
	add(opaque, "chips", &vm, sizeof(vm));
}

void arch_scribble(struct machine *m, unsigned seed)
{
	cleanup_free struct x86_vcpu_state *s = malloc(sizeof(*s));
	struct kvm_pit_state2 pit = {0};
	struct kvm_irqchip chip = {0};
	struct err err;

	for (uint32_t i = 0; i < m->nvcpus; i++) {
		struct kvm_vcpu *vcpu = &m->vcpus[i].kvm;
		struct kvm_guest_debug none = {0};
		struct kvm_msrs *msrs = calloc(1, sizeof(*msrs) + sizeof(msrs->entries[0]));

		cr_assert(arch_vcpu_save(&m->kvm, vcpu, s, &err) == 0, "%s", err.text);
		s->regs.rax ^= seed;
		s->regs.rip += 64;
		s->sregs.cr2 += seed;
		s->sregs.gs.base += seed;
		s->debugregs.db[1] = 0x1000 + seed;
		memset(s->xsave + 160, (int)seed, 64); /* xmm0 to xmm3 */
		s->xsave[512] |= 3;
		le_put32(s->lapic + 0x80, 0x20);	  /* TPR */
		le_put32(s->lapic + 0xf0, 0x1ff);	  /* enabled */
		le_put32(s->lapic + 0x320, 0x20000 | 48); /* its timer, periodic */
		le_put32(s->lapic + 0x3e0, 0xb);	  /* divided by 1 */
		le_put32(s->lapic + 0x380, 1000 + seed);
		le_put32(s->lapic + 0x210, 1u << seed % 32); /* requested */
		s->events.nmi.pending = 1;
		cr_assert(x86_vcpu_restore_registers(vcpu, s, &err) == 0, "%s", err.text);
		(void)kvm_vcpu_call(vcpu, KVM_SET_GUEST_DEBUG, &none, NULL);
		(void)kvm_vcpu_call(vcpu, KVM_NMI, NULL, NULL);
		msrs->nmsrs = 1;
		msrs->entries[0] = (struct kvm_msr_entry){.index = 0xc0000082, .data = seed};
		cr_assert(eq(int, kvm_vcpu_call(vcpu, KVM_SET_MSRS, msrs, &err), 1));
		msrs->entries[0].index = X86_MSR_TSC;
		msrs->entries[0].data = (uint64_t)seed << 40;
		cr_assert(eq(int, kvm_vcpu_call(vcpu, KVM_SET_MSRS, msrs, &err), 1));
		free(msrs);
	}
	pit.channels[0] = (struct kvm_pit_channel_state){
		.count = 0x100 + seed, .mode = 2, .rw_mode = 3, .gate = 1};
	cr_assert(eq(int, kvm_call(&m->kvm, KVM_SET_PIT2, &pit, &err), 0));
	for (uint32_t i = 0; i < 2; i++) {
		chip.chip_id = i;
		chip.chip.pic = (struct kvm_pic_state){.irr = (uint8_t)seed, .imr = 0x55};
		cr_assert(eq(int, kvm_call(&m->kvm, KVM_SET_IRQCHIP, &chip, &err), 0));
	}
	for (uint32_t gsi = 0; gsi < 24; gsi++)
		kvm_irq_line(&m->kvm, gsi, (seed >> gsi % 8 & 1) != 0);
	cr_assert(eq(int, arch_clock_set(&m->kvm, (uint64_t)seed << 30, &err), 0));
}

uint64_t arch_guest_ticks(struct machine *m)
{
	cleanup_free struct kvm_msrs *msrs = calloc(1, sizeof(*msrs) + sizeof(msrs->entries[0]));
	struct err err;

	msrs->nmsrs = 1;
	msrs->entries[0].index = X86_MSR_TSC;
	cr_assert(eq(int, kvm_vcpu_call(&m->vcpus[0].kvm, KVM_GET_MSRS, msrs, &err), 1));
	return msrs->entries[0].data;
}

/* A KVM that interprets its guests shows them the host's TSC, whatever it is told. */
bool arch_can_set_ticks(struct machine *m)
{
	const uint64_t before = arch_guest_ticks(m);
	struct err err;

	cr_assert(eq(int, x86_set_tsc(&m->vcpus[0].kvm, before + (UINT64_C(1) << 50), &err), 0));
	if (arch_guest_ticks(m) - before >= UINT64_C(1) << 50)
		return true;
	fprintf(stderr, "SKIP: this KVM does not set the TSC\n");
	return false;
}

/* mov ax, 0x1000 · mov ds, ax · mov al, [0] · mov word cs:[MARK], 0x1234 · jmp here */
static const uint8_t reader[] = {0xb8, 0x00, 0x10, 0x8e, 0xd8, 0xa0, 0x00, 0x00, 0x2e,
				 0xc7, 0x06, 0x00, 0x30, 0x34, 0x12, 0xeb, 0xfe};
/* inc word cs:[COUNTER] · jmp back */
static const uint8_t counter_code[] = {0x2e, 0xff, 0x06, 0x10, 0x30, 0xeb, 0xf9};

static void put_code(struct machine *m, unsigned vcpu, uint64_t at, const uint8_t *code, size_t len)
{
	struct kvm_vcpu *kvm = &m->vcpus[vcpu].kvm;
	struct kvm_mp_state runnable = {.mp_state = KVM_MP_STATE_RUNNABLE};
	struct kvm_regs regs = {.rip = at, .rflags = 2};
	struct kvm_sregs sregs;
	struct err err;

	cr_assert(mem_write(&m->mem, at, code, len));
	cr_assert(eq(int, kvm_vcpu_call(kvm, KVM_GET_SREGS, &sregs, &err), 0), "%s", err.text);
	sregs.cs.base = sregs.cs.selector = 0;
	cr_assert(eq(int, kvm_vcpu_call(kvm, KVM_SET_SREGS, &sregs, &err), 0), "%s", err.text);
	cr_assert(eq(int, kvm_vcpu_call(kvm, KVM_SET_REGS, &regs, &err), 0), "%s", err.text);
	cr_assert(eq(int, kvm_vcpu_call(kvm, KVM_SET_MP_STATE, &runnable, &err), 0), "%s",
		  err.text);
}

/* In real mode. */
void arch_start_two(struct machine *m, uint32_t absent, uint32_t mark, uint32_t counter)
{
	cr_assert(absent == 0x10000 && mark == 0x3000 && counter == 0x3010, "the code has others");
	put_code(m, 0, 0x1000, reader, sizeof(reader));
	put_code(m, 1, 0x1100, counter_code, sizeof(counter_code));
}
