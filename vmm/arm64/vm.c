/* Creating the parts of a machine that KVM emulates, and the RAM layout. See vmm/arch.h and vmm/mem.h. */
#include <errno.h>

#include "vmm/arm64/state.h"

void arch_ram_layout(uint64_t size, struct mem_range range[MEM_MAX_RANGES], unsigned *nranges)
{
	range[0] = (struct mem_range){.gpa = ARM64_RAM_START, .size = size};
	*nranges = 1;
}

static int set_attr(const struct kvm *kvm, uint32_t group, uint64_t attr, const void *value,
		    struct err *err)
{
	const struct kvm_device_attr a = {
		.group = group, .attr = attr, .addr = (uint64_t)(uintptr_t)value};

	return kvm_chip_call(kvm, KVM_SET_DEVICE_ATTR, &a, err);
}

/* A GICv3 (KVM, devices/arm-vgic-v3): its places, and how many interrupts it has. What it is made of
 * is made when there are vCPUs. */
int arch_vm_init(struct kvm *kvm, struct err *err)
{
	struct kvm_create_device gic = {.type = KVM_DEV_TYPE_ARM_VGIC_V3};
	const uint64_t dist = ARM64_GIC_DIST_ADDR;
	/* One region, from its first redistributor on. */
	const uint64_t redist = (uint64_t)ARM64_GIC_REDIST_VCPUS << 52 | ARM64_GIC_REDIST_ADDR;
	const uint32_t irqs = ARM64_FIRST_SPI + ARM64_SPIS;
	int ret = kvm_call(kvm, KVM_CREATE_DEVICE, &gic, err);

	if (ret == -ENODEV)
		return err_set(
			err, ERR_INCOMPATIBLE,
			"this host's interrupt controller is no GICv3, and guests cannot have one");
	if (ret < 0)
		return ret;
	kvm->chip_fd = (int)gic.fd;
	ret = set_attr(kvm, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &irqs, err);
	if (ret < 0)
		return ret;
	ret = set_attr(kvm, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, &dist, err);
	if (ret < 0)
		return ret;
	ret = set_attr(kvm, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION, &redist,
		       err);
	return ret < 0 ? ret : 0;
}

int arch_vm_ready(struct kvm *kvm, uint32_t nvcpus, struct err *err)
{
	int ret = set_attr(kvm, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, NULL, err);

	kvm->chip_vcpus = nvcpus;
	return ret < 0 ? ret : 0;
}

uint32_t arch_irq_line(uint32_t gsi)
{
	return KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT | (ARM64_FIRST_SPI + gsi);
}

void arch_virtio_slot(unsigned slot, uint64_t *base, uint32_t *gsi)
{
	*base = ARM64_VIRTIO_BASE + (uint64_t)slot * ARM64_VIRTIO_STRIDE;
	*gsi = ARM64_VIRTIO_SPI + slot;
}
