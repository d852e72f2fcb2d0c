/* Creating the parts of a machine that KVM emulates, and the RAM layout. See vmm/arch.h and vmm/mem.h. */
#include <errno.h>

#include "base/num.h"
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

uint32_t arm64_gic_version(const struct kvm *kvm)
{
	static const struct {
		uint32_t version, type;
	} known[] = {{3, KVM_DEV_TYPE_ARM_VGIC_V3}, {2, KVM_DEV_TYPE_ARM_VGIC_V2}};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		struct kvm_create_device test = {.type = known[i].type,
						 .flags = KVM_CREATE_DEVICE_TEST};

		if (kvm_call(kvm, KVM_CREATE_DEVICE, &test, NULL) >= 0)
			return known[i].version;
	}
	return 0;
}

static int place_gic(const struct kvm *kvm, uint64_t type, const uint64_t address, struct err *err)
{
	return set_attr(kvm, KVM_DEV_ARM_VGIC_GRP_ADDR, type, &address, err);
}

/* Its places (KVM, devices/arm-vgic-v3 and devices/arm-vgic). */
static int place_frames(const struct kvm *kvm, struct err *err)
{
	/* One region, from its first redistributor on. */
	const uint64_t redist = (uint64_t)ARM64_GIC_REDIST_VCPUS << 52 | ARM64_GIC_REDIST_ADDR;
	const bool v2 = kvm->chip_version == 2;
	int ret = place_gic(kvm, v2 ? KVM_VGIC_V2_ADDR_TYPE_DIST : KVM_VGIC_V3_ADDR_TYPE_DIST,
			    ARM64_GIC_DIST_ADDR, err);

	if (ret < 0)
		return ret;
	ret = v2 ? place_gic(kvm, KVM_VGIC_V2_ADDR_TYPE_CPU, ARM64_GICV2_CPU_ADDR, err)
		 : place_gic(kvm, KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION, redist, err);
	return ret < 0 ? ret : 0;
}

/* A GIC with its places and a number of interrupts. What it is made of is made when there are vCPUs. */
int arch_vm_init(struct kvm *kvm, struct err *err)
{
	struct kvm_create_device gic = {0};
	const uint32_t irqs = ARM64_FIRST_SPI + ARM64_SPIS;
	int ret;

	kvm->chip_version = arm64_gic_version(kvm);
	if (kvm->chip_version == 0)
		return err_set(err, ERR_INCOMPATIBLE,
			       "guests of this host can have neither a GICv3 nor a GICv2");
	gic.type = kvm->chip_version == 2 ? KVM_DEV_TYPE_ARM_VGIC_V2 : KVM_DEV_TYPE_ARM_VGIC_V3;
	ret = kvm_call(kvm, KVM_CREATE_DEVICE, &gic, err);
	if (ret < 0)
		return ret;
	kvm->chip_fd = (int)gic.fd;
	ret = set_attr(kvm, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &irqs, err);
	return ret < 0 ? ret : place_frames(kvm, err);
}

int arch_vm_ready(struct kvm *kvm, struct kvm_vcpu *const vcpus[], uint32_t nvcpus, struct err *err)
{
	int ret = set_attr(kvm, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, NULL, err);

	kvm->chip_vcpus = nvcpus;
	for (uint32_t i = 0; ret >= 0 && i < nvcpus; i++)
		ret = arm64_pmu_init(vcpus[i], kvm->vcpu_features, err);
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
