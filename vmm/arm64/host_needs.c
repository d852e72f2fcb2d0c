/* What a saved machine asks of a host besides its CPU; see arch_compat() in vmm/arch.h. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "vmm/arm64/state.h"

const struct arch_capability arch_capabilities[] = {
	{KVM_CAP_ONE_REG, "KVM_CAP_ONE_REG", "saving the registers"},
	{KVM_CAP_ARM_PSCI_0_2, "KVM_CAP_ARM_PSCI_0_2", "starting and stopping CPUs"},
	{KVM_CAP_DEVICE_CTRL, "KVM_CAP_DEVICE_CTRL", "saving the interrupt controller"},
	{KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS", "saving pending errors"},
};

const size_t arch_ncapabilities = ARRAY_SIZE(arch_capabilities);

/* CNTFRQ_EL0, which has 32 bits, is the same for host and guest, and is not scaled (Arm ARM D13.11). */
static uint32_t counter_hz(void)
{
	uint64_t hz;

	__asm__ volatile("mrs %0, cntfrq_el0" : "=r"(hz));
	return (uint32_t)hz;
}

/* Ascending, as the file has them. */
static const struct {
	const char *name;
	unsigned cap;
} caps[] = {
	{"KVM_CAP_ARM_PSCI_0_2", KVM_CAP_ARM_PSCI_0_2},
	{"KVM_CAP_DEVICE_CTRL", KVM_CAP_DEVICE_CTRL},
	{"KVM_CAP_ONE_REG", KVM_CAP_ONE_REG},
	{"KVM_CAP_VCPU_EVENTS", KVM_CAP_VCPU_EVENTS},
};

void arch_vcpu_needs(const struct kvm *kvm, const void *state, struct host_needs *needs)
{
	(void)state;
	needs->page_size = (uint32_t)sysconf(_SC_PAGESIZE);
	needs->counter_hz = counter_hz();
	needs->gic = kvm->chip_version;
	needs->ncaps = ARRAY_SIZE(caps);
	for (size_t i = 0; i < ARRAY_SIZE(caps); i++)
		strcpy(needs->cap[i], caps[i].name);
}

static bool host_has_cap(const struct kvm *kvm, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(caps); i++) {
		if (strcmp(caps[i].name, name) == 0)
			return kvm_extension(kvm, caps[i].cap) > 0;
	}
	return false;
}

int arm64_compare_host(const struct kvm *kvm, const struct host_needs *needs, struct err *err)
{
	const uint32_t page_size = (uint32_t)sysconf(_SC_PAGESIZE), hz = counter_hz(),
		       gic = arm64_gic_version(kvm);
	cleanup_buf struct buf text = {0};

	if (needs->page_size != page_size)
		LACK(&text, "pages of %u bytes (it has %u)", needs->page_size, page_size);
	if (needs->counter_hz != hz)
		LACK(&text, "a counter of %u Hz (it has %u)", needs->counter_hz, hz);
	if (needs->gic != gic)
		LACK(&text, "a GICv%u (its machines have a GICv%u)", needs->gic, gic);
	for (uint32_t i = 0; i < needs->ncaps; i++) {
		if (!host_has_cap(kvm, needs->cap[i]))
			LACK(&text, "%s", needs->cap[i]);
	}
	if (buf_failed(&text))
		return err_sys(err, ENOMEM, "compare with this host");
	return text.len == 0 ? 0
			     : err_set(err, ERR_INCOMPATIBLE, "this host lacks %.*s", (int)text.len,
				       (const char *)text.data);
}
