/*
 * Private to arm64: the saved state of a vCPU and of the VM's interrupt controller, and the CPU.
 *
 * Functions that take a `struct err` return 0, or the errno of the KVM call that failed; -ENOMEM.
 * Others are said where they occur. Sections of the Arm ARM are of DDI 0487, of the GIC of IHI 0069.
 */
#ifndef TORPOR_VMM_ARM64_STATE_H
#define TORPOR_VMM_ARM64_STATE_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "vmm/arch.h"
#include "vmm/arm64/boot/platform.h"

#define ARM64_REGS_MAX	1024u
#define ARM64_VREGS_MAX 64u
#define ARM64_WIDE_MAX	64u

/* A register of up to 64 bits, under KVM's name for it (KVM API 4.68). */
struct arm64_reg {
	uint64_t id;
	uint64_t value;
};

/* One of 128 bits: those of FP and AdvSIMD. */
struct arm64_vreg {
	uint64_t id;
	uint64_t value[2];
};

/* One of up to 2048 bits: those of SVE, of which KVM shows none that is wider. */
struct arm64_wide_reg {
	uint64_t id;
	uint64_t value[32];
};

struct arm64_vcpu_state {
	uint32_t mp_state;
	uint32_t features; /* bits of KVM_ARM_VCPU_* that it was made with, but POWER_OFF */
	uint32_t serror;   /* 1: an SError is pending; 2: it has a syndrome */
	uint32_t nregs;
	uint32_t nvregs;
	uint32_t nwide;
	uint64_t serror_esr;
	struct arm64_reg reg[ARM64_REGS_MAX];	    /* as KVM lists them */
	struct arm64_vreg vreg[ARM64_VREGS_MAX];    /* as KVM lists them */
	struct arm64_wide_reg wide[ARM64_WIDE_MAX]; /* as KVM lists them */
};

/* INTIDs 0 to 31 of one vCPU, its redistributor and its CPU interface (IHI 0069 §12.11, §12.2). Of a GICv2
 * icc_ctlr, pmr, bpr0, bpr1 and ap0r are GICC_CTLR, _PMR, _BPR, _ABPR and _APRn (IHI 0048 §4.4). */
struct arm64_gic_cpu {
	uint32_t ctlr, waker;
	uint32_t group, enabled, pending, active, level;
	uint32_t config[2];
	uint32_t priority[8];
	uint32_t padding;
	uint64_t propbaser, pendbaser;
	uint64_t pmr, bpr0, bpr1, icc_ctlr, sre, igrpen0, igrpen1;
	uint64_t ap0r[4], ap1r[4];
	uint32_t sgi_senders[4]; /* GICv2: GICD_SPENDSGIRn */
};

/* INTIDs from 32 on (IHI 0069 §12.9). */
struct arm64_vm_state {
	uint64_t counter; /* the guest's virtual counter where it stood */
	uint32_t gic;	  /* version */
	uint32_t iidr;	  /* whose implementation it is, and which revision KVM behaves as */
	uint32_t ctlr;
	uint32_t group, enabled, pending, active, level;
	uint32_t config[2];
	uint32_t priority[8];
	uint32_t ncpus;
	uint32_t targets[8]; /* GICv2: GICD_ITARGETSRn */
	uint32_t padding;
	uint64_t router[ARM64_SPIS]; /* GICv3 */
	struct arm64_gic_cpu cpu[ARM64_GIC_REDIST_VCPUS];
};

struct arch_cpu {
	uint32_t features; /* bits of KVM_ARM_VCPU_*, but POWER_OFF */
	struct cpu_needs needs;
};

/* KVM_ARM_VCPU_INIT: registers as after power-on, with these features; all but vCPU 0 wait for PSCI's
 * CPU_ON. */
int arm64_vcpu_power_on(struct kvm *kvm, struct kvm_vcpu *vcpu, uint32_t features, struct err *err);
/* Its PMU, when it has one by its features and has not been made before. The GIC is there. */
int arm64_pmu_init(struct kvm_vcpu *vcpu, uint32_t features, struct err *err);
/* With the vector lengths it has now; SVE's registers are there behind it. Nothing without SVE, or when it has been
 * called before. */
int arm64_sve_init(struct kvm_vcpu *vcpu, uint32_t features, struct err *err);
int arm64_get_reg(struct kvm_vcpu *vcpu, uint64_t id, void *value, struct err *err);
int arm64_set_reg(struct kvm_vcpu *vcpu, uint64_t id, const void *value, struct err *err);

/* Of the interrupt controllers that guests can have on this host, the newest: 3 or 2. 0: none that is known. */
uint32_t arm64_gic_version(const struct kvm *kvm);

/* gic.c. No vCPU runs. */
int arm64_gic_save(const struct kvm *kvm, struct arm64_vm_state *s, struct err *err);
int arm64_gic_restore(const struct kvm *kvm, const struct arm64_vm_state *s, struct err *err);
/* As after power-on. `s` is room to work in. */
int arm64_gic_reset(const struct kvm *kvm, struct arm64_vm_state *s, struct err *err);

/* Add the next thing that is missing to the list in `text`, a struct buf. */
#define LACK(text, fmt, ...) buf_printf(text, "%s" fmt, (text)->len > 0 ? ", " : "", __VA_ARGS__)

/* What the guest can see of the CPU: the ID registers of a vCPU. */
int arm64_collect_needs(struct kvm_vcpu *vcpu, const char *profile, struct cpu_needs *needs,
			struct err *err);
/* What `host` lacks of `needs`, field by field (Arm ARM D19.1.3: a field that is larger has more).
 * A register of `needs` that this build does not know is lacking. Pure. ERR_INCOMPATIBLE lists it. */
int arm64_compare_cpu(const struct cpu_needs *host, const struct cpu_needs *needs, struct err *err);

/* What arch_compat() looks at besides. ERR_INCOMPATIBLE lists what is missing. */
int arm64_compare_host(const struct kvm *kvm, const struct host_needs *needs, struct err *err);

#endif
