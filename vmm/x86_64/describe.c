/* Where a vCPU stands, in words for a log. */
#include <stdio.h>

#include "vmm/arch.h"

/* Where a reset or INIT leaves RIP (Intel SDM vol. 3 §10.1.4). */
#define RESET_RIP 0xfff0u

void arch_vcpu_describe(struct kvm_vcpu *vcpu, char *text, size_t size)
{
	struct kvm_sregs sregs = {0};
	struct kvm_regs regs = {0};

	text[0] = '\0';
	if (kvm_vcpu_call(vcpu, KVM_GET_REGS, &regs, NULL) < 0 ||
	    kvm_vcpu_call(vcpu, KVM_GET_SREGS, &sregs, NULL) < 0 || regs.rip == RESET_RIP)
		return;
	snprintf(text, size, " at %x:%llx, rsp %llx, cr0 %llx, cr2 %llx, cr3 %llx, cr4 %llx",
		 sregs.cs.selector, (unsigned long long)regs.rip, (unsigned long long)regs.rsp,
		 (unsigned long long)sregs.cr0, (unsigned long long)sregs.cr2,
		 (unsigned long long)sregs.cr3, (unsigned long long)sregs.cr4);
}
