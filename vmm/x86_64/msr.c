/*
 * Model-specific registers of a vCPU, out and back (KVM API 4.3, 4.18, 4.19).
 *
 * KVM_GET_MSRS and KVM_SET_MSRS stop at the first register they refuse. When saving, a refusal
 * means that this vCPU (by its CPUID) has no such register: it is left out. When restoring it is
 * fatal, unless the value is zero, which is what a register that cannot be written has.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "vmm/x86_64/state.h"

#define MSR_TSC_DEADLINE 0x6e0u
#define LIST_MAX	 1024u
#define LAPIC_LVT_TIMER	 0x320u
#define LVT_TSC_DEADLINE 2u /* of bits 17 and 18 (SDM vol. 3 §11.5.1) */

struct msr_range {
	uint32_t first;
	uint32_t last;
};

/* State that KVM keeps but does not list: MTRRs (SDM vol. 3 §12.11), and PAT where it is not
 * listed. */
static const struct msr_range unlisted[] = {
	{0x200, 0x20f}, {0x250, 0x250}, {0x258, 0x259},
	{0x268, 0x26f}, {0x277, 0x277}, {0x2ff, 0x2ff},
};

/* Machine check: one control register in four, the others are zero unless an error is injected. */
#define MSR_MC0_CTL  0x400u
#define MSR_MC_COUNT 32u

/* Listed, but not state of a guest of ours: what they control is hidden in every profile. */
static const struct msr_range skipped[] = {
	{0x34, 0x34},	/* SMI count */
	{0x3a, 0x3a},	/* feature control: locks VMX, which is hidden */
	{0x8b, 0x8b},	/* microcode revision: the host's */
	{0x9e, 0x9e},	/* SMBASE: no SMM */
	{0xc1, 0xd8},	/* performance counters */
	{0x10a, 0x10a}, /* ARCH_CAPABILITIES: says what the host is, not what the guest did */
	{0x186, 0x19f}, /* performance event selectors, clock modulation */
	{0x309, 0x30c}, /* fixed counters */
	{0x345, 0x345}, /* PERF_CAPABILITIES */
	{0x38d, 0x390}, /* counter control */
	{0x3f1, 0x3f2}, /* PEBS */
	{0x480, 0x4ff}, /* VMX capabilities, full-width counters */
	{0x560, 0x58f}, /* processor trace */
	{0x40000000, 0x400001ff}, /* Hyper-V's: its leaves are not shown */
	{0xc0000300, 0xc0000303}, /* AMD global counter control */
	{0xc0000104, 0xc0000104}, /* TSC ratio: for nested guests */
	{0xc0010000, 0xc0010007}, /* AMD performance counters */
	{0xc0010114, 0xc0010117}, /* VM_CR, HSAVE_PA: nested virtualization */
	{0xc0010140, 0xc0010141}, /* OS visible workarounds: the host's */
	{0xc0010200, 0xc001020b}, /* AMD extended counters */
	{0xc001029a, 0xc001029b}, /* energy counters */
};

static bool in_ranges(uint32_t index, const struct msr_range *range, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (index >= range[i].first && index <= range[i].last)
			return true;
	}
	return false;
}

static bool msr_listed(const struct x86_msr *msr, uint32_t n, uint32_t index)
{
	for (uint32_t i = 0; i < n; i++) {
		if (msr[i].index == index)
			return true;
	}
	return false;
}

static void msr_list_add(struct x86_msr *msr, uint32_t *n, uint32_t index)
{
	if (*n < X86_MSR_MAX && !msr_listed(msr, *n, index))
		msr[(*n)++] = (struct x86_msr){.index = index};
}

/* The TSC deadline goes last: it is armed against the TSC, which must be right by then. */
int msr_list(const struct kvm *kvm, struct x86_msr *msr, uint32_t *n, struct err *err)
{
	cleanup_free struct kvm_msr_list *list =
		calloc(1, sizeof(*list) + LIST_MAX * sizeof(list->indices[0]));
	int ret;

	if (list == NULL)
		return err_sys(err, ENOMEM, "list the MSRs");
	list->nmsrs = LIST_MAX;
	ret = kvm_dev_call(kvm, KVM_GET_MSR_INDEX_LIST, list, err);
	if (ret < 0)
		return ret;
	*n = 0;
	for (size_t i = 0; i < ARRAY_SIZE(unlisted); i++) {
		for (uint32_t index = unlisted[i].first; index <= unlisted[i].last; index++)
			msr_list_add(msr, n, index);
	}
	for (uint32_t bank = 0; bank < MSR_MC_COUNT; bank++)
		msr_list_add(msr, n, MSR_MC0_CTL + 4 * bank);
	for (uint32_t i = 0; i < list->nmsrs; i++) {
		if (list->indices[i] != MSR_TSC_DEADLINE &&
		    !in_ranges(list->indices[i], skipped, ARRAY_SIZE(skipped)))
			msr_list_add(msr, n, list->indices[i]);
	}
	msr_list_add(msr, n, MSR_TSC_DEADLINE);
	return *n < X86_MSR_MAX
		       ? 0
		       : err_set(err, ERR_FAILED, "this KVM has more MSRs than a state can hold");
}

static struct kvm_msrs *msr_call_new(void)
{
	return calloc(1, sizeof(struct kvm_msrs) + X86_MSR_MAX * sizeof(struct kvm_msr_entry));
}

/* Fill `call` with the MSRs from `first` on. */
static void msr_call_fill(struct kvm_msrs *call, const struct x86_vcpu_state *s, uint32_t first)
{
	call->nmsrs = s->nmsrs - first;
	for (uint32_t i = first; i < s->nmsrs; i++)
		call->entries[i - first] =
			(struct kvm_msr_entry){.index = s->msr[i].index, .data = s->msr[i].data};
}

/* A deadline of zero while the guest uses the mode means that it has just expired and its interrupt
 * is on the way. A deadline that fires at once after the resume replaces it; without one a sleeping
 * guest would sleep for ever. */
static void rearm_expired_deadline(struct x86_vcpu_state *s)
{
	uint64_t tsc = 0;

	if ((le_get32(s->lapic + LAPIC_LVT_TIMER) >> 17 & 3) != LVT_TSC_DEADLINE)
		return;
	for (uint32_t i = 0; i < s->nmsrs; i++) {
		if (s->msr[i].index == X86_MSR_TSC)
			tsc = s->msr[i].data;
		if (s->msr[i].index == MSR_TSC_DEADLINE && s->msr[i].data == 0)
			s->msr[i].data = tsc;
	}
}

int msr_save(const struct kvm *kvm, struct kvm_vcpu *vcpu, struct x86_vcpu_state *s,
	     struct err *err)
{
	cleanup_free struct kvm_msrs *call = msr_call_new();
	uint32_t done = 0;
	int ret;

	if (call == NULL)
		return err_sys(err, ENOMEM, "read the MSRs");
	ret = msr_list(kvm, s->msr, &s->nmsrs, err);
	if (ret < 0)
		return ret;
	while (done < s->nmsrs) {
		msr_call_fill(call, s, done);
		ret = kvm_vcpu_call(vcpu, KVM_GET_MSRS, call, err);
		if (ret < 0)
			return ret;
		for (int i = 0; i < ret; i++)
			s->msr[done + (uint32_t)i].data = call->entries[i].data;
		done += (uint32_t)ret;
		if (done < s->nmsrs) { /* refused: leave it out */
			s->nmsrs--;
			memmove(&s->msr[done], &s->msr[done + 1],
				(s->nmsrs - done) * sizeof(s->msr[0]));
		}
	}
	rearm_expired_deadline(s);
	return 0;
}

int msr_restore(struct kvm_vcpu *vcpu, const struct x86_vcpu_state *s, struct err *err)
{
	cleanup_free struct kvm_msrs *call = msr_call_new();
	uint32_t done = 0;

	if (call == NULL)
		return err_sys(err, ENOMEM, "write the MSRs");
	while (done < s->nmsrs) {
		int ret;

		msr_call_fill(call, s, done);
		ret = kvm_vcpu_call(vcpu, KVM_SET_MSRS, call, err);
		if (ret < 0)
			return ret;
		done += (uint32_t)ret;
		if (done == s->nmsrs)
			break;
		if (s->msr[done].data != 0)
			return err_set(err, ERR_INCOMPATIBLE,
				       "this host's KVM refuses MSR 0x%x = 0x%llx",
				       s->msr[done].index, (unsigned long long)s->msr[done].data);
		done++;
	}
	return 0;
}
