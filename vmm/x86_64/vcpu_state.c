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

#define EFER_LMA 0x400u

#define APIC_BASE_X2APIC (1u << 10) /* of the APIC base MSR (SDM vol. 3 §11.12.1) */

static size_t xsave_size(const struct kvm *kvm)
{
	int size = kvm_extension(kvm, KVM_CAP_XSAVE2);

	return size > (int)XSAVE_LEGACY ? (size_t)size : XSAVE_LEGACY;
}

/* Some kernels report components that the guest does not have (PKRU); another host would refuse
 * them. Then cut the zeros behind the last byte: the same state has the same bytes. */
static void xsave_trim(struct x86_vcpu_state *s, size_t size)
{
	const struct kvm_cpuid_entry2 *e = x86_guest_leaf(s, LEAF_XSAVE);
	uint64_t mask = XCR0_MINIMAL | (e != NULL ? e->eax | (uint64_t)e->edx << 32 : 0);

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
	if (ret < 0)
		return ret;
	xsave_trim(s, size);
	return 0;
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
	const struct kvm_cpuid_entry2 *e = x86_guest_leaf(s, LEAF_FEATURES);
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

int arch_vcpu_save(const struct kvm *kvm, struct kvm_vcpu *vcpu, void *state, struct err *err)
{
	struct x86_vcpu_state *s = state;
	struct kvm_mp_state mp = {0};
	struct kvm_lapic_state lapic;
	int ret;

	memset(s, 0, sizeof(*s));
	/* First: reading it may move a pending INIT or SIPI into the APIC state. */
	ret = kvm_vcpu_call(vcpu, KVM_GET_MP_STATE, &mp, err);
	if (ret < 0)
		return ret;
	s->mp_state = mp.mp_state;
	ret = kvm_vcpu_call(vcpu, KVM_GET_REGS, &s->regs, err);
	if (ret < 0)
		return ret;
	ret = kvm_vcpu_call(vcpu, KVM_GET_SREGS, &s->sregs, err);
	if (ret < 0)
		return ret;
	/* Outside long mode a guest may have loaded the bit, where it means nothing; KVM refuses it
	 * in a state (kvm_is_valid_sregs() in arch/x86/kvm/x86.c). */
	if (!(s->sregs.efer & EFER_LMA))
		s->sregs.cs.l = 0;
	ret = save_cpuid(vcpu, s, err); /* re-read: it changes with CR4 and the APIC base */
	if (ret < 0)
		return ret;
	ret = save_xsave(kvm, vcpu, s, err);
	if (ret < 0)
		return ret;
	ret = save_xcrs(vcpu, s, err);
	if (ret < 0)
		return ret;
	ret = kvm_vcpu_call(vcpu, KVM_GET_DEBUGREGS, &s->debugregs, err);
	if (ret < 0)
		return ret;
	memset(s->debugregs.reserved, 0, sizeof(s->debugregs.reserved));
	ret = kvm_vcpu_call(vcpu, KVM_GET_LAPIC, &lapic, err);
	if (ret < 0)
		return ret;
	memcpy(s->lapic, lapic.regs, sizeof(s->lapic));
	ret = kvm_vcpu_call(vcpu, KVM_GET_TSC_KHZ, NULL, err);
	if (ret < 0)
		return ret;
	s->tsc_khz = (uint32_t)ret;
	ret = msr_save(kvm, vcpu, s, err);
	if (ret < 0)
		return ret;
	/* Last: the calls above may inject. */
	ret = kvm_vcpu_call(vcpu, KVM_GET_VCPU_EVENTS, &s->events, err);
	if (ret < 0)
		return ret;
	s->events.nmi.pad = 0;
	memset(s->events.reserved, 0, sizeof(s->events.reserved));
	return 0;
}

/* In this place in x2APIC mode too, unless KVM_CAP_X2APIC_API is enabled. */
static uint32_t lapic_id(const struct x86_vcpu_state *s)
{
	return le_get32(s->lapic + LAPIC_ID) >> 24;
}

/* The APIC id the vCPU was made with, by its CPUID; `none` where that has none. */
static uint32_t cpuid_apic_id(const struct x86_vcpu_state *s, uint32_t none)
{
	const struct kvm_cpuid_entry2 *e = x86_guest_leaf(s, LEAF_FEATURES);

	return e != NULL ? e->ebx >> 24 : none;
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
	if (cpuid_apic_id(s, id) != id)
		return err_set(err, ERR_INTEGRITY, "vCPU %u: has the APIC id %u", id,
			       cpuid_apic_id(s, id));
	/* In xAPIC mode the guest may write the register, and KVM takes what it wrote. */
	if ((s->sregs.apic_base & APIC_BASE_X2APIC) != 0 && lapic_id(s) != id)
		return err_set(err, ERR_INTEGRITY, "vCPU %u: has the x2APIC id %u", id,
			       lapic_id(s));
	return 0;
}

int x86_vcpu_restore_registers(struct kvm_vcpu *vcpu, const struct x86_vcpu_state *s,
			       struct err *err)
{
	struct kvm_mp_state mp = {.mp_state = s->mp_state};
	struct kvm_xcrs xcrs = {.nr_xcrs = s->nxcrs};
	struct kvm_lapic_state lapic;
	uint8_t xsave[X86_XSAVE_MAX] = {0};
	int ret = x86_restore_tsc_khz(vcpu, s, err);

	if (ret < 0)
		return ret;
	ret = kvm_vcpu_call(vcpu, KVM_SET_MP_STATE, &mp, err);
	if (ret < 0)
		return ret;
	/* Clears pending exceptions. */
	ret = kvm_vcpu_call(vcpu, KVM_SET_REGS, &s->regs, err);
	if (ret < 0)
		return ret;
	/* Sets the APIC base. */
	ret = kvm_vcpu_call(vcpu, KVM_SET_SREGS, &s->sregs, err);
	if (ret < 0)
		return ret;
	memcpy(xsave, s->xsave, s->xsave_len);
	ret = kvm_vcpu_call(vcpu, KVM_SET_XSAVE, xsave, err);
	if (ret < 0)
		return ret;
	memcpy(xcrs.xcrs, s->xcr, s->nxcrs * sizeof(s->xcr[0]));
	if (s->nxcrs > 0)
		ret = kvm_vcpu_call(vcpu, KVM_SET_XCRS, &xcrs, err);
	if (ret < 0)
		return ret;
	ret = kvm_vcpu_call(vcpu, KVM_SET_DEBUGREGS, &s->debugregs, err);
	if (ret < 0)
		return ret;
	/* The timer's mode, before the deadline MSR. */
	memcpy(lapic.regs, s->lapic, sizeof(s->lapic));
	ret = kvm_vcpu_call(vcpu, KVM_SET_LAPIC, &lapic, err);
	if (ret < 0)
		return ret;
	ret = msr_restore(vcpu, s, err);
	if (ret < 0)
		return ret;
	ret = kvm_vcpu_call(vcpu, KVM_SET_VCPU_EVENTS, &s->events, err);
	return ret < 0 ? ret : 0;
}

int arch_vcpu_restore(struct kvm *kvm, struct kvm_vcpu *vcpu, const void *state, struct err *err)
{
	const struct x86_vcpu_state *s = state;
	struct cpuid_list list = {.nent = s->ncpuid};
	int ret;

	(void)kvm; /* other architectures ask it */
	memcpy(list.entry, s->cpuid, s->ncpuid * sizeof(s->cpuid[0]));
	ret = kvm_vcpu_call(vcpu, KVM_SET_CPUID2, &list, err);
	return ret < 0 ? ret : x86_vcpu_restore_registers(vcpu, s, err);
}

int arch_vcpu_rewind(struct kvm *kvm, struct kvm_vcpu *vcpu, const void *state, struct err *err)
{
	const struct x86_vcpu_state *s = state;
	struct kvm_mp_state mp = {0};
	/* Takes over an INIT or SIPI on its way, which would come after all else otherwise. */
	int ret = kvm_vcpu_call(vcpu, KVM_GET_MP_STATE, &mp, err);

	(void)kvm; /* other architectures ask it */
	if (ret < 0)
		return ret;
	/* Before the MSRs, among which is the deadline that is armed against it. */
	for (uint32_t i = 0; i < s->nmsrs; i++) {
		if (s->msr[i].index != X86_MSR_TSC)
			continue;
		ret = x86_set_tsc(vcpu, s->msr[i].data, err);
		if (ret < 0)
			return ret;
	}
	return x86_vcpu_restore_registers(vcpu, s, err);
}
