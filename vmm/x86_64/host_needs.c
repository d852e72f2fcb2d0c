/*
 * What a vCPU's state asks of a host besides CPU features: registers that its KVM must know, calls
 * it must have, a TSC it must keep up. Of registers only those count that are not zero: the others
 * need not be written (msr.c).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/num.h"
#include "vmm/x86_64/state.h"

/* The capabilities by which state is saved and restored, in the order of names (KVM API 4.x;
 * "Capability:"). A file names those that its host had. */
static const struct {
	const char *name;
	unsigned cap;
} caps[] = {
	{"KVM_CAP_ADJUST_CLOCK", KVM_CAP_ADJUST_CLOCK},
	{"KVM_CAP_DEBUGREGS", KVM_CAP_DEBUGREGS},
	{"KVM_CAP_EXT_CPUID", KVM_CAP_EXT_CPUID},
	{"KVM_CAP_IRQCHIP", KVM_CAP_IRQCHIP},
	{"KVM_CAP_MP_STATE", KVM_CAP_MP_STATE},
	{"KVM_CAP_PIT_STATE2", KVM_CAP_PIT_STATE2},
	{"KVM_CAP_VCPU_EVENTS", KVM_CAP_VCPU_EVENTS},
	{"KVM_CAP_XCRS", KVM_CAP_XCRS},
	{"KVM_CAP_XSAVE", KVM_CAP_XSAVE},
	{"KVM_CAP_XSAVE2", KVM_CAP_XSAVE2},
};

static_assert(ARRAY_SIZE(caps) <= HOST_NEEDS_MAX_CAPS, "a file has room for all");

/* Not every state needs every one of them. */
static bool state_uses(const struct x86_vcpu_state *s, unsigned cap)
{
	switch (cap) {
	case KVM_CAP_XCRS:
		return s->nxcrs > 0;
	case KVM_CAP_XSAVE2:
		return s->xsave_len > sizeof(struct kvm_xsave);
	default:
		return true;
	}
}

static bool needs_cap(const struct host_needs *needs, const char *name)
{
	for (uint32_t i = 0; i < needs->ncaps; i++) {
		if (strcmp(needs->cap[i], name) == 0)
			return true;
	}
	return false;
}

static int compare_cap_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void add_caps(const struct kvm *kvm, const struct x86_vcpu_state *s,
		     struct host_needs *needs)
{
	for (size_t i = 0; i < ARRAY_SIZE(caps); i++) {
		if (state_uses(s, caps[i].cap) && kvm_extension(kvm, caps[i].cap) > 0 &&
		    !needs_cap(needs, caps[i].name))
			strcpy(needs->cap[needs->ncaps++], caps[i].name);
	}
	qsort(needs->cap, needs->ncaps, sizeof(needs->cap[0]), compare_cap_names);
}

static bool has_msr(const uint32_t *msr, uint32_t nmsrs, uint32_t index)
{
	for (uint32_t i = 0; i < nmsrs; i++) {
		if (msr[i] == index)
			return true;
	}
	return false;
}

static int compare_indices(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void add_msrs(const struct x86_vcpu_state *s, struct host_needs *needs)
{
	for (uint32_t i = 0; i < s->nmsrs; i++) {
		if (s->msr[i].data != 0 && needs->nmsrs < HOST_NEEDS_MAX_MSRS &&
		    !has_msr(needs->msr, needs->nmsrs, s->msr[i].index))
			needs->msr[needs->nmsrs++] = s->msr[i].index;
	}
	qsort(needs->msr, needs->nmsrs, sizeof(needs->msr[0]), compare_indices);
}

void arch_vcpu_needs(const struct kvm *kvm, const void *state, struct host_needs *needs)
{
	const struct x86_vcpu_state *s = state;

	needs->page_size = (uint32_t)sysconf(_SC_PAGESIZE);
	if (x86_trusts_tsc(s))
		needs->tsc_khz = s->tsc_khz;
	add_caps(kvm, s, needs);
	add_msrs(s, needs);
}

static bool host_has_cap(const struct x86_host *host, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(caps); i++) {
		if (strcmp(caps[i].name, name) == 0)
			return host->caps >> i & 1;
	}
	return false;
}

/* The next thing that is missing. */
#define LACK(text, fmt, ...) buf_printf(text, "%s" fmt, (text)->len > 0 ? ", " : "", __VA_ARGS__)

int host_compare(const struct x86_host *host, const struct host_needs *needs, struct err *err)
{
	cleanup_buf struct buf text = {0};

	if (needs->page_size != host->page_size)
		LACK(&text, "pages of %u bytes (it has %u)", needs->page_size, host->page_size);
	if (needs->tsc_khz != 0 && host->tsc_khz != 0 &&
	    !x86_tsc_tolerable(needs->tsc_khz, host->tsc_khz))
		LACK(&text, "a TSC of %u kHz (it has %u, and cannot scale it)", needs->tsc_khz,
		     host->tsc_khz);
	for (uint32_t i = 0; i < needs->ncaps; i++) {
		if (!host_has_cap(host, needs->cap[i]))
			LACK(&text, "%s", needs->cap[i]);
	}
	for (uint32_t i = 0; i < needs->nmsrs; i++) {
		if (!has_msr(host->msr, host->nmsrs, needs->msr[i]))
			LACK(&text, "MSR 0x%x", needs->msr[i]);
	}
	if (buf_failed(&text))
		return err_sys(err, ENOMEM, "compare with this host");
	return text.len == 0 ? 0
			     : err_set(err, ERR_INCOMPATIBLE, "this host lacks %.*s", (int)text.len,
				       (const char *)text.data);
}

static int look_at_host(const struct kvm *kvm, struct x86_host *host, struct err *err)
{
	cleanup_free struct x86_msr *msr = calloc(X86_MSR_MAX, sizeof(*msr));
	int ret;

	if (msr == NULL)
		return err_sys(err, ENOMEM, "list the MSRs");
	ret = msr_list(kvm, msr, &host->nmsrs, err);
	if (ret < 0)
		return ret;
	for (uint32_t i = 0; i < host->nmsrs; i++)
		host->msr[i] = msr[i].index;
	host->page_size = (uint32_t)sysconf(_SC_PAGESIZE);
	host->tsc_khz = x86_fixed_tsc_khz(kvm);
	for (size_t i = 0; i < ARRAY_SIZE(caps); i++) {
		if (kvm_extension(kvm, caps[i].cap) > 0)
			host->caps |= 1u << i;
	}
	return 0;
}

int arch_compat(const struct kvm *kvm, const struct cpu_needs *cpu, const struct host_needs *needs,
		struct err *err)
{
	struct err cpu_lacks = {0};
	struct cpuid_list list;
	struct x86_host host = {0};
	int ret = cpuid_supported(kvm, &list, err), also;

	if (ret < 0)
		return ret;
	ret = look_at_host(kvm, &host, err);
	if (ret < 0)
		return ret;
	ret = cpu_compare(&list, cpu, &cpu_lacks);
	also = host_compare(&host, needs, err);
	if (ret == 0)
		return also;
	if (also < 0)
		return err_context(err, also, "%s", cpu_lacks.text);
	return err_copy(err, ret, &cpu_lacks);
}
