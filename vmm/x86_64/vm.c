/* Creating the parts of a PC that KVM emulates, and the RAM layout. See vmm/arch.h and
 * vmm/mem.h. */
#include "base/num.h"
#include "vmm/arch.h"
#include "vmm/x86_64/platform.h"

void arch_ram_layout(uint64_t size, struct mem_range range[MEM_MAX_RANGES], unsigned *nranges)
{
	range[0] = (struct mem_range){.gpa = 0, .size = u64_min(size, X86_RAM_LOW_END)};
	*nranges = 1;
	if (size > X86_RAM_LOW_END) {
		range[1] = (struct mem_range){
			.gpa = X86_RAM_HIGH_START,
			.size = size - X86_RAM_LOW_END,
		};
		*nranges = 2;
	}
}

/* The addresses come before the irqchip, the irqchip before the vCPUs (KVM API 4.24, 4.71). */
int arch_vm_init(struct kvm *kvm, struct err *err)
{
	struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
	uint64_t identity = X86_IDENTITY_ADDR;
	int ret;

	ret = kvm_call(kvm, KVM_SET_IDENTITY_MAP_ADDR, &identity, err);
	if (ret < 0)
		return ret;
	ret = kvm_call(kvm, KVM_SET_TSS_ADDR, (void *)(uintptr_t)X86_TSS_ADDR, err);
	if (ret < 0)
		return ret;
	ret = kvm_call(kvm, KVM_CREATE_IRQCHIP, NULL, err);
	if (ret < 0)
		return ret;
	ret = kvm_call(kvm, KVM_CREATE_PIT2, &pit, err);
	return ret < 0 ? ret : 0;
}

int arch_vm_ready(struct kvm *kvm, struct kvm_vcpu *const vcpus[], uint32_t nvcpus, struct err *err)
{
	(void)kvm, (void)vcpus, (void)nvcpus, (void)err;
	return 0;
}

uint32_t arch_irq_line(uint32_t gsi)
{
	return gsi;
}

void arch_virtio_slot(unsigned slot, uint64_t *base, uint32_t *gsi)
{
	*base = X86_VIRTIO_BASE + (uint64_t)slot * X86_VIRTIO_STRIDE;
	*gsi = x86_virtio_gsi[slot];
}
