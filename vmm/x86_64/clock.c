/*
 * The guest's clock across a pause: kvmclock is read when the machine stops and set back when it
 * goes on (KVM API 4.29, 4.30), without KVM_CLOCK_REALTIME, which would add the time parked.
 */
#include "vmm/arch.h"

int arch_clock_get(struct kvm *kvm, uint64_t *ns, struct err *err)
{
	struct kvm_clock_data clock = {0};
	int ret = kvm_call(kvm, KVM_GET_CLOCK, &clock, err);

	*ns = clock.clock;
	return ret < 0 ? ret : 0;
}

int arch_clock_set(struct kvm *kvm, uint64_t ns, struct err *err)
{
	struct kvm_clock_data clock = {.clock = ns};

	return kvm_call(kvm, KVM_SET_CLOCK, &clock, err);
}

void arch_vcpu_clock_stopped(struct kvm_vcpu *vcpu)
{
	/* EINVAL: this guest has no kvmclock; nothing to tell. */
	(void)kvm_vcpu_call(vcpu, KVM_KVMCLOCK_CTRL, NULL, NULL);
}
