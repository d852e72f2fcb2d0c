/* The state tables of a vCPU and of the interrupt controller: what is in the file, under which tag. */
#include "vmm/arm64/state.h"

#define VCPU(m, tag) STATE_SCALAR(struct arm64_vcpu_state, m, tag, 1, 0)
#define GICC(m, tag) STATE_SCALAR(struct arm64_gic_cpu, m, tag, 1, STATE_HEX)
#define GIC(m, tag)  STATE_SCALAR(struct arm64_vm_state, m, tag, 1, STATE_HEX)

static const struct state_field reg_fields[] = {
	STATE_SCALAR(struct arm64_reg, id, 1, 1, STATE_HEX),
	STATE_SCALAR(struct arm64_reg, value, 2, 1, STATE_HEX),
};
static const struct state_table reg_table = STATE_TABLE("reg", 1, struct arm64_reg, reg_fields);

static const struct state_field vreg_fields[] = {
	STATE_SCALAR(struct arm64_vreg, id, 1, 1, STATE_HEX),
	STATE_ARRAY(struct arm64_vreg, value, 2, 1, STATE_HEX),
};
static const struct state_table vreg_table = STATE_TABLE("vreg", 1, struct arm64_vreg, vreg_fields);

static const struct state_field wide_fields[] = {
	STATE_SCALAR(struct arm64_wide_reg, id, 1, 1, STATE_HEX),
	STATE_ARRAY(struct arm64_wide_reg, value, 2, 1, STATE_HEX),
};
static const struct state_table wide_table =
	STATE_TABLE("wide", 1, struct arm64_wide_reg, wide_fields);

static const struct state_field vcpu_fields[] = {
	VCPU(mp_state, 1),
	VCPU(features, 2),
	VCPU(serror, 3),
	VCPU(nregs, 4),
	VCPU(nvregs, 5),
	STATE_SCALAR(struct arm64_vcpu_state, serror_esr, 6, 1, STATE_HEX),
	STATE_VSTRUCT(struct arm64_vcpu_state, reg, nregs, 7, 1, &reg_table),
	STATE_VSTRUCT(struct arm64_vcpu_state, vreg, nvregs, 8, 1, &vreg_table),
	STATE_SCALAR(struct arm64_vcpu_state, nwide, 9, 2, 0),
	STATE_VSTRUCT(struct arm64_vcpu_state, wide, nwide, 10, 2, &wide_table),
};
const struct state_table arch_vcpu_table =
	STATE_TABLE("arm64-vcpu", 2, struct arm64_vcpu_state, vcpu_fields);

static const struct state_field gic_cpu_fields[] = {
	GICC(ctlr, 1),
	GICC(waker, 2),
	GICC(group, 3),
	GICC(enabled, 4),
	GICC(pending, 5),
	GICC(active, 6),
	GICC(level, 7),
	STATE_ARRAY(struct arm64_gic_cpu, config, 8, 1, STATE_HEX),
	STATE_ARRAY(struct arm64_gic_cpu, priority, 9, 1, STATE_HEX),
	STATE_PAD(struct arm64_gic_cpu, padding),
	GICC(propbaser, 10),
	GICC(pendbaser, 11),
	GICC(pmr, 12),
	GICC(bpr0, 13),
	GICC(bpr1, 14),
	GICC(icc_ctlr, 15),
	GICC(sre, 16),
	GICC(igrpen0, 17),
	GICC(igrpen1, 18),
	STATE_ARRAY(struct arm64_gic_cpu, ap0r, 19, 1, STATE_HEX),
	STATE_ARRAY(struct arm64_gic_cpu, ap1r, 20, 1, STATE_HEX),
	STATE_ARRAY(struct arm64_gic_cpu, sgi_senders, 21, 2, STATE_HEX),
};
static const struct state_table gic_cpu_table =
	STATE_TABLE("gic-cpu", 2, struct arm64_gic_cpu, gic_cpu_fields);

static const struct state_field vm_fields[] = {
	STATE_SCALAR(struct arm64_vm_state, counter, 1, 1, 0),
	STATE_SCALAR(struct arm64_vm_state, gic, 2, 1, 0),
	GIC(iidr, 3),
	GIC(ctlr, 4),
	GIC(group, 5),
	GIC(enabled, 6),
	GIC(pending, 7),
	GIC(active, 8),
	GIC(level, 9),
	STATE_ARRAY(struct arm64_vm_state, config, 10, 1, STATE_HEX),
	STATE_ARRAY(struct arm64_vm_state, priority, 11, 1, STATE_HEX),
	STATE_SCALAR(struct arm64_vm_state, ncpus, 12, 1, 0),
	STATE_ARRAY(struct arm64_vm_state, router, 13, 1, STATE_HEX),
	STATE_VSTRUCT(struct arm64_vm_state, cpu, ncpus, 14, 1, &gic_cpu_table),
	STATE_ARRAY(struct arm64_vm_state, targets, 15, 2, STATE_HEX),
	STATE_PAD(struct arm64_vm_state, padding),
};
const struct state_table arch_vm_table =
	STATE_TABLE("arm64-vm", 2, struct arm64_vm_state, vm_fields);
