/*
 * Saving and restoring a vCPU. The order of the calls is part of the knowledge; each place where
 * another order has lost interrupts or timers elsewhere says why.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "vmm/x86_64/state.h"

#define XSAVE_LEGACY  4096u /* struct kvm_xsave without KVM_CAP_XSAVE2 */
#define XSAVE_HEADER  512u  /* XSTATE_BV's offset (SDM vol. 1 §13.4.2) */
#define XSAVE_MIN     576u
#define XSAVE_AVX_END 832u
#define XCR0_MINIMAL  0x3u
#define XCR0_AVX      0x7u
#define LAPIC_ID      0x20u

static size_t xsave_size(const struct kvm *kvm)
{
	int size = kvm_extension(kvm, KVM_CAP_XSAVE2);

	return size > (int)XSAVE_LEGACY ? (size_t)size : XSAVE_LEGACY;
}

static const struct kvm_cpuid_entry2 *guest_leaf(const struct x86_vcpu_state *s, uint32_t leaf)
{
	for (uint32_t i = 0; i < s->ncpuid; i++) {
		if (s->cpuid[i].function == leaf && s->cpuid[i].index == 0)
			return &s->cpuid[i];
	}
	return NULL;
}

/* The components this guest can use, by its own CPUID. */
static uint64_t guest_xcr0(const struct x86_vcpu_state *s)
{
	const struct kvm_cpuid_entry2 *e = guest_leaf(s, LEAF_XSAVE);

	return XCR0_MINIMAL | (e != NULL ? e->eax | (uint64_t)e->edx << 32 : 0);
}

/* Some kernels report components that the guest does not have (PKRU); another host would refuse
 * them. Then cut the zeros behind the last byte: one text for one state. */
static void xsave_trim(struct x86_vcpu_state *s, size_t size)
{
	uint64_t mask = guest_xcr0(s);

	le_put64(s->xsave + XSAVE_HEADER, le_get64(s->xsave + XSAVE_HEADER) & mask);
	if ((mask & ~(uint64_t)XCR0_AVX) == 0)
		size = XSAVE_AVX_END;
	while (size > XSAVE_MIN && s->xsave[size - 1] == 0)
		size--;
	s->xsave_len = (uint32_t)size;
	memset(s->xsave + size, 0, sizeof(s->xsave) - size);
}

static int save_xsave(const struct kvm *kvm, struct kvm_vcpu *vcpu, struct x86_vcpu_state *s,
		      struct err *err)
{
	size_t size = xsave_size(kvm);
	int ret;

	if (size > sizeof(s->xsave))
		return err_set(err, ERR_FAILED, "this host's XSAVE area of %zu bytes is too large",
			       size);
	if (size > XSAVE_LEGACY)
		ret = kvm_vcpu_call(vcpu, KVM_GET_XSAVE2, s->xsave, err);
	else
		ret = kvm_vcpu_call(vcpu, KVM_GET_XSAVE, s->xsave, err);
	if (ret >= 0)
		xsave_trim(s, size);
	return ret;
}

static int save_cpuid(struct kvm_vcpu *vcpu, struct x86_vcpu_state *s, struct err *err)
{
	cleanup_free struct cpuid_list *list = calloc(1, sizeof(*list));
	int ret;

	if (list == NULL)
		return err_sys(err, ENOMEM, "read the CPUID");
	list->nent = CPUID_MAX;
	ret = kvm_vcpu_call(vcpu, KVM_GET_CPUID2, list, err);
	if (ret < 0)
		return ret;
	s->ncpuid = 0;
	for (uint32_t i = 0; i < list->nent; i++) {
		memset(list->entry[i].padding, 0, sizeof(list->entry[i].padding));
		s->cpuid[s->ncpuid++] = list->entry[i];
	}
	return 0;
}

/* A guest without XSAVE has no XCR0, and can go to a host that has none either. */
static int save_xcrs(struct kvm_vcpu *vcpu, struct x86_vcpu_state *s, struct err *err)
{
	const struct kvm_cpuid_entry2 *e = guest_leaf(s, LEAF_FEATURES);
	struct kvm_xcrs xcrs = {0};
	int ret;

	if (e == NULL || !(e->ecx & ECX_XSAVE))
		return 0;
	ret = kvm_vcpu_call(vcpu, KVM_GET_XCRS, &xcrs, err);
	if (ret < 0)
		return ret;
	s->nxcrs = xcrs.nr_xcrs < X86_XCR_MAX ? xcrs.nr_xcrs : X86_XCR_MAX;
	memcpy(s->xcr, xcrs.xcrs, s->nxcrs * sizeof(s->xcr[0]));
	return 0;
}

static int save_small(struct kvm_vcpu *vcpu, struct x86_vcpu_state *s, struct err *err)
{
	struct kvm_lapic_state lapic;
	int ret = save_xcrs(vcpu, s, err);

	if (ret >= 0)
		ret = kvm_vcpu_call(vcpu, KVM_GET_DEBUGREGS, &s->debugregs, err);
	if (ret < 0)
		return ret;
	memset(s->debugregs.reserved, 0, sizeof(s->debugregs.reserved));
	ret = kvm_vcpu_call(vcpu, KVM_GET_LAPIC, &lapic, err);
	if (ret >= 0)
		memcpy(s->lapic, lapic.regs, sizeof(s->lapic));
	return ret;
}

int arch_vcpu_save(const struct kvm *kvm, struct kvm_vcpu *vcpu, void *state, struct err *err)
{
	struct x86_vcpu_state *s = state;
	struct kvm_mp_state mp = {0};
	int ret;

	memset(s, 0, sizeof(*s));
	/* First: reading it may move a pending INIT or SIPI into the APIC state. */
	ret = kvm_vcpu_call(vcpu, KVM_GET_MP_STATE, &mp, err);
	if (ret >= 0) {
		s->mp_state = mp.mp_state;
		ret = kvm_vcpu_call(vcpu, KVM_GET_REGS, &s->regs, err);
	}
	if (ret >= 0)
		ret = kvm_vcpu_call(vcpu, KVM_GET_SREGS, &s->sregs, err);
	if (ret >= 0)
		ret = save_cpuid(vcpu, s, err); /* re-read: it changes with CR4 and the APIC base */
	if (ret >= 0)
		ret = save_xsave(kvm, vcpu, s, err);
	if (ret >= 0)
		ret = save_small(vcpu, s, err);
	if (ret >= 0)
		ret = kvm_vcpu_call(vcpu, KVM_GET_TSC_KHZ, NULL, err);
	if (ret >= 0) {
		s->tsc_khz = (uint32_t)ret;
		ret = msr_save(kvm, vcpu, s, err);
	}
	/* Last: the calls above may inject. */
	if (ret >= 0)
		ret = kvm_vcpu_call(vcpu, KVM_GET_VCPU_EVENTS, &s->events, err);
	if (ret >= 0) {
		s->events.nmi.pad = 0;
		memset(s->events.reserved, 0, sizeof(s->events.reserved));
	}
	return ret < 0 ? ret : 0;
}

/* In this place in x2APIC mode too, unless KVM_CAP_X2APIC_API is enabled. */
static uint32_t lapic_id(const struct x86_vcpu_state *s)
{
	return le_get32(s->lapic + LAPIC_ID) >> 24;
}

int arch_vcpu_check(const struct kvm *kvm, const void *state, uint32_t id, struct err *err)
{
	const struct x86_vcpu_state *s = state;

	/* KVM_MP_STATE_* that an in-kernel LAPIC can have (KVM API 4.38). */
	if (s->mp_state > KVM_MP_STATE_SIPI_RECEIVED)
		return err_set(err, ERR_INTEGRITY, "vCPU %u: no such run state %u", id,
			       s->mp_state);
	if (s->xsave_len < XSAVE_MIN)
		return err_set(err, ERR_INTEGRITY, "vCPU %u: XSAVE area of %u bytes", id,
			       s->xsave_len);
	if (s->xsave_len > xsave_size(kvm))
		return err_set(err, ERR_INCOMPATIBLE,
			       "vCPU %u: XSAVE area of %u bytes, this host has %zu", id,
			       s->xsave_len, xsave_size(kvm));
	if (lapic_id(s) != id)
		return err_set(err, ERR_INTEGRITY, "vCPU %u: has the APIC id %u", id, lapic_id(s));
	return 0;
}

static int restore_cpuid(struct kvm_vcpu *vcpu, const struct x86_vcpu_state *s, struct err *err)
{
	struct cpuid_list list = {.nent = s->ncpuid};

	memcpy(list.entry, s->cpuid, s->ncpuid * sizeof(s->cpuid[0]));
	return kvm_vcpu_call(vcpu, KVM_SET_CPUID2, &list, err);
}

bool x86_trusts_tsc(const struct x86_vcpu_state *s)
{
	const struct kvm_cpuid_entry2 *timer = guest_leaf(s, LEAF_FEATURES);
	const struct kvm_cpuid_entry2 *power = guest_leaf(s, LEAF_EXT_POWER);

	return (timer != NULL && timer->ecx & ECX_TSC_DEADLINE) ||
	       (power != NULL && power->edx & EDX_INVARIANT_TSC);
}

/* Within the tolerance guests do not notice; beyond, the host must scale. A baseline guest reads
 * time from kvmclock, which tells it the new frequency: for it a host that cannot scale will do. */
static int restore_tsc_khz(struct kvm_vcpu *vcpu, const struct x86_vcpu_state *s, struct err *err)
{
	int host = kvm_vcpu_call(vcpu, KVM_GET_TSC_KHZ, NULL, err);

	if (host <= 0 || s->tsc_khz == 0)
		return host < 0 ? host : 0;
	if (x86_tsc_tolerable(s->tsc_khz, (uint32_t)host))
		return 0;
	if (kvm_vcpu_call(vcpu, KVM_SET_TSC_KHZ, (void *)(uintptr_t)s->tsc_khz, NULL) < 0 &&
	    x86_trusts_tsc(s))
		return err_set(err, ERR_INCOMPATIBLE,
			       "its TSC runs at %u kHz, this host's at %d kHz and cannot be scaled",
			       s->tsc_khz, host);
	return 0;
}

static int restore_xsave(struct kvm_vcpu *vcpu, const struct x86_vcpu_state *s, struct err *err)
{
	uint8_t area[X86_XSAVE_MAX] = {0};

	memcpy(area, s->xsave, s->xsave_len);
	return kvm_vcpu_call(vcpu, KVM_SET_XSAVE, area, err);
}

static int restore_xcrs(struct kvm_vcpu *vcpu, const struct x86_vcpu_state *s, struct err *err)
{
	struct kvm_xcrs xcrs = {.nr_xcrs = s->nxcrs};

	if (s->nxcrs == 0)
		return 0;
	memcpy(xcrs.xcrs, s->xcr, s->nxcrs * sizeof(s->xcr[0]));
	return kvm_vcpu_call(vcpu, KVM_SET_XCRS, &xcrs, err);
}

static int restore_lapic(struct kvm_vcpu *vcpu, const struct x86_vcpu_state *s, struct err *err)
{
	struct kvm_lapic_state lapic;

	memcpy(lapic.regs, s->lapic, sizeof(s->lapic));
	return kvm_vcpu_call(vcpu, KVM_SET_LAPIC, &lapic, err);
}

int x86_vcpu_restore_registers(struct kvm_vcpu *vcpu, const struct x86_vcpu_state *s,
			       struct err *err)
{
	struct kvm_mp_state mp = {.mp_state = s->mp_state};
	int ret = restore_tsc_khz(vcpu, s, err);

	if (ret >= 0)
		ret = kvm_vcpu_call(vcpu, KVM_SET_MP_STATE, &mp, err);
	if (ret >= 0)
		ret = kvm_vcpu_call(vcpu, KVM_SET_REGS, &s->regs,
				    err); /* clears pending exceptions */
	if (ret >= 0)
		ret = kvm_vcpu_call(vcpu, KVM_SET_SREGS, &s->sregs, err); /* APIC base */
	if (ret >= 0)
		ret = restore_xsave(vcpu, s, err);
	if (ret >= 0)
		ret = restore_xcrs(vcpu, s, err);
	if (ret >= 0)
		ret = kvm_vcpu_call(vcpu, KVM_SET_DEBUGREGS, &s->debugregs, err);
	if (ret >= 0)
		ret = restore_lapic(vcpu, s, err); /* timer mode, before the deadline MSR */
	if (ret >= 0)
		ret = msr_restore(vcpu, s, err);
	if (ret >= 0)
		ret = kvm_vcpu_call(vcpu, KVM_SET_VCPU_EVENTS, &s->events, err);
	return ret < 0 ? ret : 0;
}

int arch_vcpu_restore(const struct kvm *kvm, struct kvm_vcpu *vcpu, const void *state,
		      struct err *err)
{
	const struct x86_vcpu_state *s = state;
	int ret = restore_cpuid(vcpu, s, err);

	(void)kvm; /* other architectures ask it */
	return ret < 0 ? ret : x86_vcpu_restore_registers(vcpu, s, err);
}

/* Each vCPU's TSC was read at its own moment; restored one by one they would drift apart and time
 * would step back between them. All take vCPU 0's offset (KVM API, devices/vcpu.rst 4.1). */
int arch_vcpus_sync(struct kvm_vcpu *const vcpus[], uint32_t nvcpus, struct err *err)
{
	uint64_t offset = 0;
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uint64_t)(uintptr_t)&offset,
	};
	int ret;

	if (nvcpus < 2 || kvm_vcpu_call(vcpus[0], KVM_HAS_DEVICE_ATTR, &attr, NULL) < 0)
		return 0; /* kernels before 5.16 match the offsets themselves, by value */
	ret = kvm_vcpu_call(vcpus[0], KVM_GET_DEVICE_ATTR, &attr, err);
	for (uint32_t i = 1; ret >= 0 && i < nvcpus; i++)
		ret = kvm_vcpu_call(vcpus[i], KVM_SET_DEVICE_ATTR, &attr, err);
	return ret < 0 ? err_context(err, ret, "give all vCPUs one time base") : 0;
}
