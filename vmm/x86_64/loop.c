/* A guest that only counts, in real mode. See vmm/arch.h. */
#include <string.h>

#include "base/num.h"
#include "vmm/arch.h"
#include "vmm/x86_64/platform.h"

/* mov $count,%ecx; 1: dec %ecx; jnz 1b; out %al,$0x80 — 16-bit code with 32-bit operands. */
static const uint8_t code[] = {0x66, 0xb9, 0, 0, 0, 0, 0x66, 0x49, 0x75, 0xfc, 0xe6, 0x80};
#define COUNT_AT	2u
#define REAL_MODE_FLAGS 2u

int arch_loop_vm(struct kvm *kvm, struct err *err)
{
	int ret = kvm_call(kvm, KVM_SET_TSS_ADDR, (void *)(uintptr_t)X86_TSS_ADDR, err);

	return ret < 0 ? ret : 0;
}

int arch_loop_start(struct kvm *kvm, struct kvm_vcpu *vcpu, uint8_t *page, uint32_t rounds,
		    struct err *err)
{
	struct kvm_regs regs = {.rip = 0, .rflags = REAL_MODE_FLAGS};
	struct kvm_sregs sregs = {0};
	int ret = kvm_vcpu_call(vcpu, KVM_GET_SREGS, &sregs, err);

	(void)kvm;
	if (ret < 0)
		return ret;
	memcpy(page, code, sizeof(code));
	le_put32(page + COUNT_AT, rounds);
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	ret = kvm_vcpu_call(vcpu, KVM_SET_SREGS, &sregs, err);
	return ret < 0 ? ret : kvm_vcpu_call(vcpu, KVM_SET_REGS, &regs, err);
}

bool arch_loop_ended(const struct kvm_run *run)
{
	return run->exit_reason == KVM_EXIT_IO;
}
