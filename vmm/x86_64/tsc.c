/* The TSC of a state and of a host: its rate, and one time base for all vCPUs. */
#include "vmm/x86_64/state.h"

#define TSC_TOLERANCE_PPM 250u

bool x86_trusts_tsc(const struct x86_vcpu_state *s)
{
	const struct kvm_cpuid_entry2 *timer = x86_guest_leaf(s, LEAF_FEATURES);
	const struct kvm_cpuid_entry2 *power = x86_guest_leaf(s, LEAF_EXT_POWER);

	return (timer != NULL && timer->ecx & ECX_TSC_DEADLINE) ||
	       (power != NULL && power->edx & EDX_INVARIANT_TSC);
}

bool x86_tsc_tolerable(uint32_t want_khz, uint32_t have_khz)
{
	uint32_t distance = want_khz > have_khz ? want_khz - have_khz : have_khz - want_khz;

	return (uint64_t)distance * 1000000 <= (uint64_t)want_khz * TSC_TOLERANCE_PPM;
}

/* A host that scales has every rate. Kernels before 5.18 cannot tell their own without a vCPU:
 * there it is found out when the state is restored. */
uint32_t x86_fixed_tsc_khz(const struct kvm *kvm)
{
	int khz;

	if (kvm->vm_fd < 0 || kvm_extension(kvm, KVM_CAP_TSC_CONTROL) > 0)
		return 0;
	khz = kvm_call(kvm, KVM_GET_TSC_KHZ, NULL, NULL);
	return khz > 0 ? (uint32_t)khz : 0;
}

/* Within the tolerance guests do not notice; beyond, the host must scale. A baseline guest reads
 * time from kvmclock, which tells it the new frequency: for it a host that cannot scale will do. */
int x86_restore_tsc_khz(struct kvm_vcpu *vcpu, const struct x86_vcpu_state *s, struct err *err)
{
	int host = kvm_vcpu_call(vcpu, KVM_GET_TSC_KHZ, NULL, err);

	if (host < 0)
		return host;
	if (host == 0 || s->tsc_khz == 0 || x86_tsc_tolerable(s->tsc_khz, (uint32_t)host))
		return 0;
	if (kvm_vcpu_call(vcpu, KVM_SET_TSC_KHZ, (void *)(uintptr_t)s->tsc_khz, NULL) < 0 &&
	    x86_trusts_tsc(s))
		return err_set(err, ERR_INCOMPATIBLE,
			       "its TSC runs at %u kHz, this host's at %d kHz and cannot be scaled",
			       s->tsc_khz, host);
	return 0;
}

/* Of a vCPU: what is added to the host's TSC. */
static struct kvm_device_attr tsc_offset(uint64_t *offset)
{
	return (struct kvm_device_attr){
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uint64_t)(uintptr_t)offset,
	};
}

int x86_set_tsc(struct kvm_vcpu *vcpu, uint64_t tsc, struct err *err)
{
	union {
		struct kvm_msrs call;
		uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
	} now = {.call = {.nmsrs = 1}};
	uint64_t offset = 0;
	struct kvm_device_attr attr = tsc_offset(&offset);
	int ret;

	if (kvm_vcpu_call(vcpu, KVM_GET_DEVICE_ATTR, &attr, NULL) < 0)
		return 0;
	now.call.entries[0].index = X86_MSR_TSC;
	ret = kvm_vcpu_call(vcpu, KVM_GET_MSRS, &now.call, err);
	if (ret < 0)
		return ret;
	offset += tsc - now.call.entries[0].data;
	ret = kvm_vcpu_call(vcpu, KVM_SET_DEVICE_ATTR, &attr, err);
	return ret < 0 ? err_context(err, ret, "set the TSC") : 0;
}

/* Each vCPU's TSC was read at its own moment; restored one by one they would drift apart and time
 * would step back between them. All take vCPU 0's offset (KVM API, devices/vcpu.rst 4.1). */
int arch_vcpus_sync(struct kvm_vcpu *const vcpus[], uint32_t nvcpus, struct err *err)
{
	uint64_t offset = 0;
	struct kvm_device_attr attr = tsc_offset(&offset);
	int ret;

	if (nvcpus < 2 || kvm_vcpu_call(vcpus[0], KVM_HAS_DEVICE_ATTR, &attr, NULL) < 0)
		return 0; /* kernels before 5.16 match the offsets themselves, by value */
	ret = kvm_vcpu_call(vcpus[0], KVM_GET_DEVICE_ATTR, &attr, err);
	for (uint32_t i = 1; ret >= 0 && i < nvcpus; i++)
		ret = kvm_vcpu_call(vcpus[i], KVM_SET_DEVICE_ATTR, &attr, err);
	return ret < 0 ? err_context(err, ret, "give all vCPUs one time base") : 0;
}
