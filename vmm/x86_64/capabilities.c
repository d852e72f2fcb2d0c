/* What `torpor doctor` looks at. See vmm/arch.h. */
#include "base/num.h"
#include "vmm/arch.h"

const struct arch_capability arch_capabilities[] = {
	{KVM_CAP_XSAVE, "KVM_CAP_XSAVE", "saving the extended registers"},
	{KVM_CAP_XCRS, "KVM_CAP_XCRS", "saving the extended registers"},
	{KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS", "saving pending interrupts"},
	{KVM_CAP_DEBUGREGS, "KVM_CAP_DEBUGREGS", "saving the debug registers"},
	{KVM_CAP_ADJUST_CLOCK, "KVM_CAP_ADJUST_CLOCK",
	 "a guest clock that stands still when paused"},
	{KVM_CAP_KVMCLOCK_CTRL, "KVM_CAP_KVMCLOCK_CTRL", "no soft lockup reports after a pause"},
	{KVM_CAP_TSC_CONTROL, "KVM_CAP_TSC_CONTROL", "waking on a host with another TSC frequency"},
	{KVM_CAP_PIT_STATE2, "KVM_CAP_PIT_STATE2", "saving the interval timer"},
};

const size_t arch_ncapabilities = ARRAY_SIZE(arch_capabilities);
