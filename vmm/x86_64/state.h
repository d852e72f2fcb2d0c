/*
 * Private to x86_64: the saved state of a vCPU and of the VM's chips, and MSR lists.
 *
 * KVM's own structs are used where their members are plain fixed-width numbers: their layout is
 * ABI. Functions that take a `struct err` return 0, or the errno of the KVM call that failed;
 * -ENOMEM. Others are said where they occur.
 */
#ifndef TORPOR_VMM_X86_64_STATE_H
#define TORPOR_VMM_X86_64_STATE_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/arch.h"
#include "vmm/x86_64/cpuid.h"

#define X86_MSR_TSC 0x10u

#define X86_XSAVE_MAX 16384u /* AMX needs 11 KiB; KVM_CAP_XSAVE2 says how much a host has */
#define X86_MSR_MAX   256u
#define X86_XCR_MAX   16u

struct x86_msr {
	uint32_t index;
	uint32_t padding;
	uint64_t data;
};

struct x86_vcpu_state {
	uint32_t mp_state;
	uint32_t tsc_khz;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_debugregs debugregs;
	struct kvm_vcpu_events events;
	uint32_t nxcrs;
	uint32_t xsave_len;
	struct kvm_xcr xcr[X86_XCR_MAX];
	uint8_t xsave[X86_XSAVE_MAX]; /* standard format (SDM vol. 1 §13.4), trailing zeros cut */
	uint8_t lapic[KVM_APIC_REG_SIZE];
	uint32_t nmsrs;
	uint32_t ncpuid;
	struct x86_msr msr[X86_MSR_MAX];
	struct kvm_cpuid_entry2 cpuid[CPUID_MAX];
};

struct x86_ioapic {
	uint64_t base_address;
	uint32_t ioregsel;
	uint32_t id;
	uint32_t irr;
	uint32_t padding;
	uint64_t redirtbl[KVM_IOAPIC_NUM_PINS];
};

struct x86_vm_state {
	uint64_t clock_ns; /* kvmclock */
	struct kvm_pit_channel_state pit[3];
	uint32_t pit_flags;
	uint32_t padding;
	struct kvm_pic_state pic[2]; /* master, slave */
	struct x86_ioapic ioapic;
};

/* Every MSR that is state of a vCPU, as far as this KVM has it, in the order they are written back;
 * room for X86_MSR_MAX. ERR_FAILED: this KVM has more. */
int msr_list(const struct kvm *kvm, struct x86_msr *msr, uint32_t *n, struct err *err);
/* Read every MSR that is this vCPU's state, in the order they must be written back. The LAPIC and
 * CPUID are in *s already. Also the errors of msr_list(). */
int msr_save(const struct kvm *kvm, struct kvm_vcpu *vcpu, struct x86_vcpu_state *s,
	     struct err *err);
/* ERR_INCOMPATIBLE names an MSR that this KVM refuses. */
int msr_restore(struct kvm_vcpu *vcpu, const struct x86_vcpu_state *s, struct err *err);

/* The leaf of the guest's own CPUID, subleaf 0, or NULL. */
static inline const struct kvm_cpuid_entry2 *x86_guest_leaf(const struct x86_vcpu_state *s,
							    uint32_t leaf)
{
	for (uint32_t i = 0; i < s->ncpuid; i++) {
		if (s->cpuid[i].function == leaf && s->cpuid[i].index == 0)
			return &s->cpuid[i];
	}
	return NULL;
}

/* tsc.c. Was the guest told that the TSC ticks at one rate for ever, or does it arm timers with
 * it? */
bool x86_trusts_tsc(const struct x86_vcpu_state *s);
/* So close that guests do not notice. */
bool x86_tsc_tolerable(uint32_t want_khz, uint32_t have_khz);
/* The one rate this host's TSC has; 0 when it can be scaled, or the kernel does not tell. */
uint32_t x86_fixed_tsc_khz(const struct kvm *kvm);
/* Give the vCPU the rate of the state. Returns 0, ERR_INCOMPATIBLE (the guest relies on a rate this
 * host cannot give), or what KVM_GET_TSC_KHZ gave. */
int x86_restore_tsc_khz(struct kvm_vcpu *vcpu, const struct x86_vcpu_state *s, struct err *err);

/* Make the vCPU's TSC read `tsc` from now on. KVM takes a value that is written within a second of
 * what it expects for an attempt to synchronize vCPUs, and keeps the TSC it has; so the offset is
 * set. Does nothing before Linux 5.16, which has no way to set it. Returns 0 or what KVM gave. */
int x86_set_tsc(struct kvm_vcpu *vcpu, uint64_t tsc, struct err *err);

/* What host_compare() looks at. */
struct x86_host {
	uint32_t page_size;
	uint32_t tsc_khz; /* 0: any, or unknown */
	uint32_t nmsrs;
	uint32_t msr[X86_MSR_MAX];
	uint32_t caps; /* by the table in host_needs.c */
};

/* The part of arch_compat() that CPUID does not tell, without KVM. Returns 0; ERR_INCOMPATIBLE,
 * which lists all that is missing; or -ENOMEM. */
int host_compare(const struct x86_host *host, const struct host_needs *needs, struct err *err);

/* Restore all of a state but the CPUIDs. A vCPU that has run keeps those: KVM then refuses others,
 * and its own edits make them others. Also ERR_INCOMPATIBLE, as x86_restore_tsc_khz() and
 * msr_restore(). */
int x86_vcpu_restore_registers(struct kvm_vcpu *vcpu, const struct x86_vcpu_state *s,
			       struct err *err);

#endif
