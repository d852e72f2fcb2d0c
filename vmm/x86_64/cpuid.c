/*
 * CPUID lists, and the functions of vmm/arch.h that set and read them in KVM. What is
 * in them: cpu_profile.c, cpu_features.c, cpu_needs.c.
 */
#include "vmm/x86_64/cpuid.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "vmm/arch.h"

int cpuid_supported(const struct kvm *kvm, struct cpuid_list *list, struct err *err)
{
	int ret;

	*list = (struct cpuid_list){.nent = CPUID_MAX};
	ret = kvm_dev_call(kvm, KVM_GET_SUPPORTED_CPUID, list, err);
	if (ret < 0)
		return err_context(err, ret, "ask KVM which CPU features it has");
	if (cpuid_find(list, 0, 0) == NULL || cpuid_find(list, LEAF_FEATURES, 0) == NULL)
		return err_set(err, ERR_INCOMPATIBLE, "this host's KVM names no CPU features");
	if (kvm_extension(kvm, KVM_CAP_TSC_DEADLINE_TIMER) > 0)
		cpuid_find(list, LEAF_FEATURES, 0)->ecx |= ECX_TSC_DEADLINE;
	return 0;
}

struct kvm_cpuid_entry2 *cpuid_find(struct cpuid_list *list, uint32_t leaf, uint32_t subleaf)
{
	for (uint32_t i = 0; i < list->nent; i++) {
		struct kvm_cpuid_entry2 *e = &list->entry[i];

		if (e->function == leaf &&
		    (!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || e->index == subleaf))
			return e;
	}
	return NULL;
}

uint32_t *cpuid_reg(struct kvm_cpuid_entry2 *entry, enum cpuid_reg reg)
{
	switch (reg) {
	case REG_EAX:
		return &entry->eax;
	case REG_EBX:
		return &entry->ebx;
	case REG_ECX:
		return &entry->ecx;
	default:
		return &entry->edx;
	}
}

uint32_t cpuid_bits(struct cpuid_list *list, uint32_t leaf, uint32_t subleaf, enum cpuid_reg reg)
{
	struct kvm_cpuid_entry2 *entry = cpuid_find(list, leaf, subleaf);

	return entry != NULL ? *cpuid_reg(entry, reg) : 0;
}

void cpuid_vendor(struct cpuid_list *list, char vendor[13])
{
	struct kvm_cpuid_entry2 *e = cpuid_find(list, 0, 0);

	memset(vendor, 0, 13);
	if (e == NULL)
		return;
	memcpy(vendor, &e->ebx, 4);
	memcpy(vendor + 4, &e->edx, 4);
	memcpy(vendor + 8, &e->ecx, 4);
}

int arch_cpu_create(const struct kvm *kvm, const char *profile, struct arch_cpu **cpu,
		    const char **chosen, struct err *err)
{
	cleanup_free struct arch_cpu *made = calloc(1, sizeof(*made));
	struct cpuid_list host;
	int ret = cpuid_supported(kvm, &host, err);

	if (ret < 0)
		return ret;
	if (made == NULL)
		return err_sys(err, ENOMEM, "allocate the guest's CPU");
	ret = cpu_build(&host, profile, made, chosen, err);
	if (ret < 0)
		return ret;
	*cpu = take_ptr(made);
	return 0;
}

void arch_cpu_free(struct arch_cpu *cpu)
{
	free(cpu);
}

void arch_cpu_needs(const struct arch_cpu *cpu, struct cpu_needs *needs)
{
	*needs = cpu->needs;
}

int arch_vcpu_init(struct kvm *kvm, struct kvm_vcpu *vcpu, const struct arch_cpu *cpu,
		   uint32_t nvcpus, struct err *err)
{
	struct cpuid_list list = cpu->cpuid;
	int ret;

	(void)kvm;
	cpu_set_topology(&list, vcpu->id, nvcpus);
	ret = kvm_vcpu_call(vcpu, KVM_SET_CPUID2, &list, err);
	return ret < 0 ? err_context(err, ret, "set the CPU features of vCPU %u", vcpu->id) : 0;
}
