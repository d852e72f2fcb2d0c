/* A vCPU from its power-on to the kernel's first instruction, and where it stands. See vmm/arch.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/arm64/state.h"

/* Where a register lies in struct kvm_regs is its name (KVM API 4.68). */
#define CORE(member)                                                                               \
	(KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE |                                     \
	 (offsetof(struct kvm_regs, member) / sizeof(uint32_t)))
#define MPIDR	 ARM64_SYS_REG(3, 0, 0, 0, 5)
#define AFFINITY UINT64_C(0xff00ffffff)

int arm64_get_reg(struct kvm_vcpu *vcpu, uint64_t id, void *value, struct err *err)
{
	const struct kvm_one_reg reg = {.id = id, .addr = (uint64_t)(uintptr_t)value};

	return kvm_vcpu_call(vcpu, KVM_GET_ONE_REG, &reg, err);
}

int arm64_set_reg(struct kvm_vcpu *vcpu, uint64_t id, const void *value, struct err *err)
{
	const struct kvm_one_reg reg = {.id = id, .addr = (uint64_t)(uintptr_t)value};

	return kvm_vcpu_call(vcpu, KVM_SET_ONE_REG, &reg, err);
}

int arm64_vcpu_power_on(struct kvm *kvm, struct kvm_vcpu *vcpu, uint32_t features, struct err *err)
{
	struct kvm_vcpu_init init = {0};
	int ret = kvm_call(kvm, KVM_ARM_PREFERRED_TARGET, &init, err);

	if (ret < 0)
		return ret;
	memset(init.features, 0, sizeof(init.features));
	init.features[0] = kvm->vcpu_features = features;
	if (vcpu->id > 0)
		init.features[0] |= 1u << KVM_ARM_VCPU_POWER_OFF;
	return kvm_vcpu_call(vcpu, KVM_ARM_VCPU_INIT, &init, err);
}

static int pmu_attr(struct kvm_vcpu *vcpu, uint64_t attr, const void *value, struct err *err)
{
	const struct kvm_device_attr a = {
		.group = KVM_ARM_VCPU_PMU_V3_CTRL,
		.attr = attr,
		.addr = (uint64_t)(uintptr_t)value,
	};
	int ret = kvm_vcpu_call(vcpu, KVM_SET_DEVICE_ATTR, &a, err);

	/* It has been made before. */
	return ret == -EBUSY ? 0 : ret;
}

int arm64_pmu_init(struct kvm_vcpu *vcpu, uint32_t features, struct err *err)
{
	const int intid = ARM64_FIRST_PPI + ARM64_PMU_PPI;
	int ret;

	if ((features & 1u << KVM_ARM_VCPU_PMU_V3) == 0)
		return 0;
	ret = pmu_attr(vcpu, KVM_ARM_VCPU_PMU_V3_IRQ, &intid, err);
	return ret < 0 ? ret : pmu_attr(vcpu, KVM_ARM_VCPU_PMU_V3_INIT, NULL, err);
}

int arm64_sve_init(struct kvm_vcpu *vcpu, uint32_t features, struct err *err)
{
	const int what = KVM_ARM_VCPU_SVE;
	int ret;

	if ((features & 1u << KVM_ARM_VCPU_SVE) == 0)
		return 0;
	ret = kvm_vcpu_call(vcpu, KVM_ARM_VCPU_FINALIZE, &what, err);
	return ret == -EPERM ? 0 : ret;
}

int arch_vcpu_init(struct kvm *kvm, struct kvm_vcpu *vcpu, const struct arch_cpu *cpu,
		   uint32_t nvcpus, struct err *err)
{
	uint64_t mpidr = 0;
	int ret;

	if (kvm->chip_version == 2 && nvcpus > ARM64_GICV2_VCPUS)
		return err_set(
			err, ERR_INCOMPATIBLE,
			"%u vCPUs: this host's interrupt controller, a GICv2, serves at most %u",
			nvcpus, ARM64_GICV2_VCPUS);
	ret = arm64_vcpu_power_on(kvm, vcpu, cpu->features, err);
	if (ret < 0)
		return ret;
	ret = arm64_sve_init(vcpu, cpu->features, err);
	if (ret < 0)
		return ret;
	ret = arm64_get_reg(vcpu, MPIDR, &mpidr, err);
	if (ret < 0)
		return ret;
	/* The device tree is written before, and has KVM's rule. */
	if ((mpidr & AFFINITY) != arm64_mpidr(vcpu->id))
		return err_set(err, ERR_INCOMPATIBLE,
			       "vCPU %u: this KVM gives it the affinity 0x%llx and not 0x%llx",
			       vcpu->id, (unsigned long long)(mpidr & AFFINITY),
			       (unsigned long long)arm64_mpidr(vcpu->id));
	return 0;
}

/* The kernel's entry state (Documentation/arch/arm64/booting): x0 the device tree, x1 to x3 zero, which
 * they are after power-on, as interrupts are masked, MMU and caches off. */
int arch_boot_vcpu(struct kvm_vcpu *vcpu, const struct boot_entry *entry, struct err *err)
{
	int ret = arm64_set_reg(vcpu, CORE(regs.pc), &entry->entry, err);

	if (ret < 0)
		return err_context(err, ret, "set the boot vCPU's registers");
	ret = arm64_set_reg(vcpu, CORE(regs.regs[0]), &entry->params, err);
	return ret < 0 ? err_context(err, ret, "set the boot vCPU's registers") : 0;
}

void arch_vcpu_describe(struct kvm_vcpu *vcpu, char *text, size_t size)
{
	uint64_t pc, sp, lr, pstate;

	text[0] = '\0';
	if (arm64_get_reg(vcpu, CORE(regs.pc), &pc, NULL) < 0 ||
	    arm64_get_reg(vcpu, CORE(sp_el1), &sp, NULL) < 0 ||
	    arm64_get_reg(vcpu, CORE(regs.regs[30]), &lr, NULL) < 0 ||
	    arm64_get_reg(vcpu, CORE(regs.pstate), &pstate, NULL) < 0)
		return;
	snprintf(text, size, " at %llx, lr %llx, sp %llx, pstate %llx", (unsigned long long)pc,
		 (unsigned long long)lr, (unsigned long long)sp, (unsigned long long)pstate);
}

/* A vCPU in WFI can always be woken by a device. One that PSCI has switched off cannot, and if all are,
 * nobody can call CPU_ON. */
bool arch_halted_for_good(struct kvm *kvm, struct kvm_vcpu *const vcpus[], uint32_t nvcpus)
{
	(void)kvm;
	for (uint32_t i = 0; i < nvcpus; i++) {
		struct kvm_mp_state mp;

		if (kvm_vcpu_call(vcpus[i], KVM_GET_MP_STATE, &mp, NULL) < 0 ||
		    mp.mp_state != KVM_MP_STATE_STOPPED)
			return false;
	}
	return true;
}

/* A store to where nothing is ends the loop. */
#define LOOP_EXIT_ADDR 0x100000u
static const uint32_t loop_code[] = {
	0xf1000400, /* 1: subs x0, x0, #1 */
	0x54ffffe1, /* b.ne 1b */
	0xb900003f, /* str wzr, [x1] */
};

int arch_loop_vm(struct kvm *kvm, struct err *err)
{
	(void)kvm, (void)err;
	return 0;
}

int arch_loop_start(struct kvm *kvm, struct kvm_vcpu *vcpu, uint8_t *page, uint32_t rounds,
		    struct err *err)
{
	const uint64_t start = 0, count = rounds, target = LOOP_EXIT_ADDR;
	int ret = arm64_vcpu_power_on(kvm, vcpu, 1u << KVM_ARM_VCPU_PSCI_0_2, err);

	if (ret < 0)
		return ret;
	memcpy(page, loop_code, sizeof(loop_code));
	__builtin___clear_cache((char *)page, (char *)page + sizeof(loop_code));
	ret = arm64_set_reg(vcpu, CORE(regs.pc), &start, err);
	if (ret < 0)
		return ret;
	ret = arm64_set_reg(vcpu, CORE(regs.regs[0]), &count, err);
	return ret < 0 ? ret : arm64_set_reg(vcpu, CORE(regs.regs[1]), &target, err);
}

bool arch_loop_ended(const struct kvm_run *run)
{
	return run->exit_reason == KVM_EXIT_MMIO && run->mmio.phys_addr == LOOP_EXIT_ADDR;
}
