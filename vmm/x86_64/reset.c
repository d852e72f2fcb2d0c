/*
 * Guest reset. KVM has no reset call; what it gives a new vCPU *is* the reset state (Intel SDM
 * vol. 3 §10.1.1, plus its own defaults), so the chips and vCPUs of a scratch VM with the same
 * CPUIDs are saved and restored over the live ones. Nothing here needs to know a register.
 */
#include "vmm/arch.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "vmm/x86_64/state.h"

#define MAX_CPUID 256

/* The live vCPU's CPUID decides what its reset state is. */
static int copy_cpuid(struct kvm_vcpu *from, struct kvm_vcpu *to, struct err *err)
{
	cleanup_free struct kvm_cpuid2 *cpuid =
		calloc(1, sizeof(*cpuid) + MAX_CPUID * sizeof(cpuid->entries[0]));
	int ret;

	if (cpuid == NULL)
		return err_sys(err, ENOMEM, "allocate CPUID entries");
	cpuid->nent = MAX_CPUID;
	ret = kvm_vcpu_call(from, KVM_GET_CPUID2, cpuid, err);
	return ret < 0 ? ret : kvm_vcpu_call(to, KVM_SET_CPUID2, cpuid, err);
}

static int reset_vcpu(struct kvm *scratch, struct kvm_vcpu *vcpu, struct err *err)
{
	cleanup_free void *state = calloc(1, arch_vcpu_table.size);
	cleanup_kvm_vcpu struct kvm_vcpu fresh = {.fd = -1};
	int ret;

	if (state == NULL)
		return err_sys(err, ENOMEM, "allocate a vCPU state");
	ret = kvm_vcpu_open(scratch, vcpu->id, &fresh, err);
	if (ret < 0)
		return ret;
	ret = copy_cpuid(vcpu, &fresh, err);
	if (ret < 0)
		return ret;
	ret = arch_vcpu_save(scratch, &fresh, state, err);
	return ret < 0 ? ret : x86_vcpu_restore_registers(vcpu, state, err);
}

static int reset_chips(struct kvm *kvm, struct kvm *scratch, struct err *err)
{
	cleanup_free void *state = calloc(1, arch_vm_table.size);
	int ret;

	if (state == NULL)
		return err_sys(err, ENOMEM, "allocate the chips' state");
	ret = arch_vm_save(scratch, NULL, state, err);
	return ret < 0 ? ret : arch_vm_restore(kvm, state, err);
}

int arch_reset(struct kvm *kvm, struct kvm_vcpu *const vcpus[], uint32_t nvcpus, struct err *err)
{
	cleanup_kvm struct kvm scratch = {.dev_fd = -1, .vm_fd = -1};
	int ret = kvm_open(&scratch, err);

	if (ret < 0)
		return ret;
	ret = arch_vm_init(&scratch, err);
	if (ret < 0)
		return ret;
	for (uint32_t i = 0; i < nvcpus; i++) {
		ret = reset_vcpu(&scratch, vcpus[i], err);
		if (ret < 0)
			return ret;
	}
	ret = arch_vcpus_sync(vcpus, nvcpus, err);
	return ret < 0 ? ret : reset_chips(kvm, &scratch, err);
}
