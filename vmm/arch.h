/*
 * What an architecture gives the machine; one implementation is linked (vmm/x86_64/, say).
 *
 * Creating: arch_vm_init after kvm_open and the memory slots; arch_vcpu_init for each vCPU;
 * arch_vm_ready; arch_boot_load and arch_boot_vcpu for a cold start, or the state functions for a restore.
 * Saving: every vCPU parked; arch_vcpu_save for each, then arch_vm_save.
 * Restoring: decode, arch_vcpu_check and arch_vm_check on the staged states; then, on a VM whose
 * memory and vCPUs exist but never ran, arch_vcpu_restore for each, arch_vcpus_sync, then
 * arch_vm_restore (the order inside follows the KVM traps noted in the implementation); devices
 * come after.
 *
 * Errors, where nothing else is said: the errno of the KVM call that failed, named in *err;
 * -ENOMEM. Functions that return no int cannot fail.
 */
#ifndef TORPOR_VMM_ARCH_H
#define TORPOR_VMM_ARCH_H

#include "base/arch.h"
#include "base/blob.h"
#include "base/err.h"
#include "state/cpuneeds.h"
#include "state/hostneeds.h"
#include "state/state.h"
#include "vmm/kvm.h"
#include "vmm/mem.h"

/* Where virtio-mmio slot `slot` (below ARCH_VIRTIO_SLOTS) lies and which edge line it has. */
#define ARCH_VIRTIO_SLOTS 16u
#define ARCH_VIRTIO_SIZE  0x200u
void arch_virtio_slot(unsigned slot, uint64_t *base, uint32_t *gsi);

/* What a guest's line `gsi` is called in KVM_IRQ_LINE (KVM API 4.25). */
uint32_t arch_irq_line(uint32_t gsi);

/* The guest CPU: an opaque set of CPUID entries on x86-64. */
struct arch_cpu;

/* The names of the profiles, behind the last one NULL; and in words: "v1, v2, v3 or host". */
extern const char *const arch_cpu_profiles[];
extern const char arch_cpu_profiles_text[];

/* Build the CPU that `profile` names (one of arch_cpu_profiles, or "" for the best baseline this
 * host has) out of what the host's KVM supports. Only the device is needed, no VM. ERR_INCOMPATIBLE
 * names what the host lacks; ERR_USAGE: no such profile. `chosen` gets the profile's name. */
int arch_cpu_create(const struct kvm *kvm, const char *profile, struct arch_cpu **cpu,
		    const char **chosen, struct err *err);
void arch_cpu_free(struct arch_cpu *cpu);
/* What a host must have so that this CPU can be restored there: recorded in the file. */
void arch_cpu_needs(const struct arch_cpu *cpu, struct cpu_needs *needs);
/* Compare with this host. ERR_INCOMPATIBLE lists everything that is missing by name; ERR_FAILED:
 * this KVM has more MSRs than a state can hold. On x86-64 only the device is needed; with a VM, the TSC
 * rate is compared too. arm64 needs a VM. */
int arch_compat(const struct kvm *kvm, const struct cpu_needs *cpu, const struct host_needs *host,
		struct err *err);

/* Interrupt controller, timer and whatever must exist before the vCPUs. */
int arch_vm_init(struct kvm *kvm, struct err *err);
/* What can be made only when all vCPUs exist. A vCPU that is restored from a file is not initialized yet. */
int arch_vm_ready(struct kvm *kvm, struct kvm_vcpu *const vcpus[], uint32_t nvcpus,
		  struct err *err);
/* Topology (APIC id, affinity) and CPUID or features of a vCPU about to boot cold. ERR_INCOMPATIBLE: arm64's KVM
 * gives it another affinity, or its interrupt controller serves fewer vCPUs. */
int arch_vcpu_init(struct kvm *kvm, struct kvm_vcpu *vcpu, const struct arch_cpu *cpu,
		   uint32_t nvcpus, struct err *err);

/* What is loaded for a cold start and again at every guest reset. */
struct boot_source {
	struct blob kernel; /* len 0: none */
	struct blob initrd; /* len 0: none */
	const char *cmdline;
	/* NULL, or called before they are loaded: whether they are what they should be. It returns
	 * 0, or an error that machine_boot() returns. */
	int (*check)(void *opaque, struct err *err);
	void *check_opaque;
};

/* What the firmware tables must tell about the machine. */
struct board_info {
	uint32_t nvcpus;
	uint32_t virtio_slots; /* bit i: slot i is populated */
	/* arm64: whose GIC and CPU features the tables describe; only read. NULL: a GICv3 and no PMU. */
	const struct kvm *kvm;
};

/* Where the boot vCPU starts. */
struct boot_entry {
	uint64_t entry;	 /* guest-physical */
	uint64_t params; /* boot_params, hvm_start_info or device tree */
	bool long_mode;	 /* x86-64: 64-bit boot protocol; else PVH's 32-bit */
};

/* Load kernel, initrd, command line and firmware tables into memory. Calls no KVM. ERR_FAILED in
 * words for the owner of the kernel file ("not a kernel: …", "truncated: …", "does not fit …"),
 * what blob_read() gives, or -ENOMEM. */
int arch_boot_load(struct mem *mem, const struct boot_source *src, const struct board_info *board,
		   struct boot_entry *entry, struct err *err);
/* Put vCPU 0, in reset state, at the entry. The others stay in wait-for-SIPI. */
int arch_boot_vcpu(struct kvm_vcpu *vcpu, const struct boot_entry *entry, struct err *err);

/* State of one vCPU / of the VM's chips and clock: plain data for the tables. Allocate table->size
 * bytes. */
extern const struct state_table arch_vcpu_table;
extern const struct state_table arch_vm_table;

/* ERR_FAILED: this host has more MSRs, or a larger XSAVE area, than a state can hold. */
int arch_vcpu_save(const struct kvm *kvm, struct kvm_vcpu *vcpu, void *state, struct err *err);
/* Add what a host must have for this state. Begin with zeros; each vCPU in its turn. */
void arch_vcpu_needs(const struct kvm *kvm, const void *state, struct host_needs *needs);
/* Refuse what arch_vcpu_restore() could not or must not apply to vCPU `id`: ERR_INTEGRITY, or
 * ERR_INCOMPATIBLE when another host could. */
int arch_vcpu_check(const struct kvm *kvm, const void *state, uint32_t id, struct err *err);
/* ERR_INCOMPATIBLE: this KVM refuses an MSR or the TSC rate. */
int arch_vcpu_restore(struct kvm *kvm, struct kvm_vcpu *vcpu, const void *state, struct err *err);
/* The same for a vCPU that has run, with the CPUID that it has: back to an earlier state of its
 * own, the TSC included, however short ago that was. arch_vcpus_sync and arch_vm_restore follow. */
int arch_vcpu_rewind(struct kvm *kvm, struct kvm_vcpu *vcpu, const void *state, struct err *err);
/* After arch_vcpu_restore or arch_vcpu_rewind of all: one time base for them (the TSC offset of
 * vCPU 0). */
int arch_vcpus_sync(struct kvm_vcpu *const vcpus[], uint32_t nvcpus, struct err *err);
/* `clock`: the guest's clock where it stands still; NULL: as it goes on in KVM. */
int arch_vm_save(struct kvm *kvm, const uint64_t *clock, void *state, struct err *err);
/* ERR_INTEGRITY: no machine of this type has such chips. */
int arch_vm_check(const struct kvm *kvm, const void *state, struct err *err);
int arch_vm_restore(struct kvm *kvm, const void *state, struct err *err);

/* The guest's clock, in ns on x86-64, in ticks on arm64. It stands still while a machine is paused:
 * read when it pauses, set when it goes on, so that pause and save look alike to the guest. */
int arch_clock_get(struct kvm *kvm, uint64_t *clock, struct err *err);
int arch_clock_set(struct kvm *kvm, uint64_t clock, struct err *err);
/* Tell the guest that its paravirtual clock was stopped (KVM_KVMCLOCK_CTRL, 4.70): call for each
 * vCPU when pausing and again after a restore. Does nothing for a guest without kvmclock. */
void arch_vcpu_clock_stopped(struct kvm_vcpu *vcpu);

/* Where a vCPU stands, for a log; called by its thread: " at CS:RIP, …". Empty when KVM has already
 * put the vCPU into reset state, as it does on AMD processors after a triple fault. */
void arch_vcpu_describe(struct kvm_vcpu *vcpu, char *text, size_t size);

/* All vCPUs are parked at once: can none of them ever execute an instruction again, whatever the
 * devices do? On arm64 PSCI has switched each off. On x86-64 each is halted with interrupts off or was
 * never started, has nothing pending, and no line is set to deliver what does not mind that (NMI, SMI,
 * INIT). False also when KVM does not tell.
 */
bool arch_halted_for_good(struct kvm *kvm, struct kvm_vcpu *const vcpus[], uint32_t nvcpus);

/* What `torpor doctor` looks at, besides what kvm_open_device() insists on. */
struct arch_capability {
	unsigned cap;
	const char *name;
	const char *use; /* what is not to be had without it */
};
extern const struct arch_capability arch_capabilities[];
extern const size_t arch_ncapabilities;

/*
 * A guest that only counts: cli/guest_speed.c measures with it. Of a VM of its own:
 *
 *     kvm_open → arch_loop_vm → a page of memory at 0 → kvm_vcpu_open → (arch_loop_start → KVM_RUN) …
 *
 * It makes `rounds` rounds of ARCH_LOOP_INSNS instructions; then KVM_RUN returns and arch_loop_ended() is true.
 */
#define ARCH_LOOP_INSNS 2u
int arch_loop_vm(struct kvm *kvm, struct err *err);
int arch_loop_start(struct kvm *kvm, struct kvm_vcpu *vcpu, uint8_t *page, uint32_t rounds,
		    struct err *err);
bool arch_loop_ended(const struct kvm_run *run);

/* Guest reset: every vCPU (parked) and chip back to what KVM gives a new machine with these CPUIDs.
 * Errors also of kvm_open(), arch_vcpu_save() and arch_vcpu_restore(). */
int arch_reset(struct kvm *kvm, struct kvm_vcpu *const vcpus[], uint32_t nvcpus, struct err *err);

#endif
