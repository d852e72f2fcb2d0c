/* arm64's part of the tests; see tests/kvm/arch_guest.h. */
#include "tests/kvm/arch_guest.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "vmm/arm64/boot/image.h"
#include "vmm/arm64/state.h"

/* The device tree lies behind a kernel of less than 2 MiB (vmm/arm64/boot/image.h). */
const uint64_t arch_kernel_offset = ARM64_IMAGE_ALIGN, arch_tables_offset = 2 * ARM64_IMAGE_ALIGN;
const char arch_restart_command[] = "reset";

#define CORE(member)                                                                               \
	(KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE |                                     \
	 (offsetof(struct kvm_regs, member) / sizeof(uint32_t)))
#define TPIDR_EL1 ARM64_SYS_REG(3, 0, 13, 0, 4)
#define FAR_EL1	  ARM64_SYS_REG(3, 0, 6, 0, 0)

uint64_t arch_state_clock(const void *vm_state)
{
	return ((const struct arm64_vm_state *)vm_state)->counter;
}

/* What runs on is the counter. */
void arch_read_state(struct machine *m,
		     void (*add)(void *opaque, const char *name, const void *bytes, size_t len),
		     void *opaque)
{
	cleanup_free struct arm64_vcpu_state *vcpu = malloc(sizeof(*vcpu));
	cleanup_free struct arm64_vm_state *vm = malloc(sizeof(*vm));
	struct err err;

	for (uint32_t i = 0; i < m->nvcpus; i++) {
		cr_assert(arch_vcpu_save(&m->kvm, &m->vcpus[i].kvm, vcpu, &err) == 0, "%s",
			  err.text);
		add(opaque, "registers", vcpu->reg, sizeof(vcpu->reg));
		add(opaque, "vectors", vcpu->vreg, sizeof(vcpu->vreg));
		add(opaque, "vcpu", vcpu, sizeof(*vcpu));
	}
	cr_assert(arch_vm_save(&m->kvm, NULL, vm, &err) == 0, "%s", err.text);
	vm->counter = 0;
	add(opaque, "chip", vm, sizeof(*vm));
}

static void change(struct kvm_vcpu *vcpu, uint64_t id, uint64_t by)
{
	uint64_t value[2] = {0};
	struct err err;

	cr_assert(arm64_get_reg(vcpu, id, value, &err) >= 0, "%s", err.text);
	value[0] += by;
	cr_assert(arm64_set_reg(vcpu, id, value, &err) >= 0, "%s", err.text);
}

static void set(struct kvm_vcpu *vcpu, uint64_t id, uint64_t value)
{
	struct err err;

	cr_assert(arm64_set_reg(vcpu, id, &value, &err) >= 0, "%s", err.text);
}

static void scribble_vcpu(struct kvm_vcpu *vcpu, unsigned seed)
{
	struct kvm_mp_state stopped = {.mp_state = KVM_MP_STATE_STOPPED};
	struct kvm_vcpu_events events = {.exception.serror_pending = 1};
	struct err err;

	change(vcpu, CORE(regs.regs[seed % 31]), seed + 1);
	change(vcpu, CORE(regs.pc), 64);
	change(vcpu, CORE(regs.sp), seed);
	change(vcpu, CORE(sp_el1), 16);
	change(vcpu, CORE(elr_el1), seed);
	change(vcpu, TPIDR_EL1, seed + 1);
	change(vcpu, FAR_EL1, seed + 1);
	change(vcpu,
	       KVM_REG_ARM64 | KVM_REG_SIZE_U128 | KVM_REG_ARM_CORE |
		       (offsetof(struct kvm_regs, fp_regs.vregs[seed % 32]) / sizeof(uint32_t)),
	       seed + 1);
	set(vcpu, KVM_REG_ARM_TIMER_CVAL, seed); /* due long ago */
	set(vcpu, KVM_REG_ARM_TIMER_CTL, 1);
	cr_assert(eq(int, kvm_vcpu_call(vcpu, KVM_SET_VCPU_EVENTS, &events, &err), 0), "%s",
		  err.text);
	if (seed % 2 == 1)
		cr_assert(eq(int, kvm_vcpu_call(vcpu, KVM_SET_MP_STATE, &stopped, &err), 0), "%s",
			  err.text);
}

static void scribble_gic(struct kvm *kvm, unsigned seed)
{
	cleanup_free struct arm64_vm_state *s = calloc(1, sizeof(*s));
	struct err err;

	cr_assert(eq(int, arm64_gic_save(kvm, s, &err), 0), "%s", err.text);
	s->ctlr |= 2; /* group 1 */
	s->group = seed * 0x9e3779b9u;
	s->enabled = ~s->group;
	s->pending = seed * 0x85ebca6bu;
	s->active = 1u << seed % 32;
	s->config[0] ^= 0xa0a0a0a0;
	s->priority[seed % 8] = 0x40506070;
	s->router[seed % ARM64_SPIS] = s->ncpus - 1;
	for (uint32_t i = 0; i < s->ncpus; i++) {
		struct arm64_gic_cpu *c = &s->cpu[i];

		c->group ^= 0xffff0000;
		c->enabled |= 1u << 27;
		c->pending |= 1u << seed % 16;
		c->active ^= 1u << 20;
		c->priority[3] = 0x80808080;
		c->pmr = 0xf0;
		c->igrpen1 = 1;
		c->ap1r[0] = 1u << seed % 16;
	}
	cr_assert(eq(int, arm64_gic_restore(kvm, s, &err), 0), "%s", err.text);
}

void arch_scribble(struct machine *m, unsigned seed)
{
	struct err err;

	for (uint32_t i = 0; i < m->nvcpus; i++)
		scribble_vcpu(&m->vcpus[i].kvm, seed);
	scribble_gic(&m->kvm, seed);
	for (uint32_t gsi = 0; gsi < ARM64_SPIS; gsi++)
		kvm_irq_line(&m->kvm, gsi, (seed >> gsi % 8 & 1) != 0);
	cr_assert(eq(int, arch_clock_set(&m->kvm, (uint64_t)seed << 30, &err), 0));
}

uint64_t arch_guest_ticks(struct machine *m)
{
	uint64_t counter = 0;
	struct err err;

	cr_assert(eq(int, arch_clock_get(&m->kvm, &counter, &err), 0), "%s", err.text);
	return counter;
}

bool arch_can_set_ticks(struct machine *m)
{
	(void)m;
	return true;
}

static const uint32_t reader[] = {
	0x39400020, /* ldrb w0, [x1] */
	0x52824683, /* mov w3, #0x1234 */
	0x79000043, /* strh w3, [x2] */
	0x14000000, /* b . */
};
static const uint32_t counter_code[] = {
	0x79400020, /* 1: ldrh w0, [x1] */
	0x11000400, /* add w0, w0, #1 */
	0x79000020, /* strh w0, [x1] */
	0x17fffffd, /* b 1b */
};

/* After power-on, so with the MMU off. */
static void put_code(struct machine *m, unsigned vcpu, uint64_t at, const uint32_t *code,
		     size_t len)
{
	struct kvm_vcpu *kvm = &m->vcpus[vcpu].kvm;
	struct kvm_mp_state runnable = {.mp_state = KVM_MP_STATE_RUNNABLE};
	struct err err;

	cr_assert(eq(int, arm64_vcpu_power_on(&m->kvm, kvm, 1u << KVM_ARM_VCPU_PSCI_0_2, &err), 0),
		  "%s", err.text);
	cr_assert(mem_write(&m->mem, at, code, len));
	set(kvm, CORE(regs.pc), at);
	cr_assert(eq(int, kvm_vcpu_call(kvm, KVM_SET_MP_STATE, &runnable, &err), 0), "%s",
		  err.text);
}

void arch_start_two(struct machine *m, uint32_t absent, uint32_t mark, uint32_t counter)
{
	const uint64_t start = m->mem.range[0].gpa;

	put_code(m, 0, start + 0x1000, reader, sizeof(reader));
	put_code(m, 1, start + 0x1100, counter_code, sizeof(counter_code));
	set(&m->vcpus[0].kvm, CORE(regs.regs[1]), start + absent);
	set(&m->vcpus[0].kvm, CORE(regs.regs[2]), start + mark);
	set(&m->vcpus[1].kvm, CORE(regs.regs[1]), start + counter);
}
