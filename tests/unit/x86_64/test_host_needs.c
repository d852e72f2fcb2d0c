/* What a saved machine asks of a host: collected from a vCPU's state, compared with a host. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/x86_64/state.h"

#define NONE ((struct kvm){.dev_fd = -1, .vm_fd = -1}) /* has no capability */

/* A host with a handful of everything. */
static const struct x86_host host = {
	.page_size = 4096,
	.tsc_khz = 2000000,
	.nmsrs = 2,
	.msr = {0x10, 0x277},
	.caps = 0, /* none of the table */
};

static void refused(const struct host_needs *needs, const char *text)
{
	struct err err = {0};

	cr_assert(host_compare(&host, needs, &err) < 0);
	cr_assert(eq(int, err.kind, ERR_INCOMPATIBLE));
	cr_assert_str_eq(err.text, text);
}

Test(host_needs, a_host_that_has_it_all_is_fine)
{
	static const struct host_needs needs = {
		.page_size = 4096,
		.tsc_khz = 2000100,
		.nmsrs = 1,
		.msr = {0x277},
	};
	struct x86_host all = host;
	struct host_needs more = needs;
	struct err err = {0};

	cr_assert(eq(int, host_compare(&host, &needs, &err), 0), "%s", err.text);
	all.caps = UINT32_MAX;
	all.tsc_khz = 0;
	more.tsc_khz = 1;
	more.ncaps = 1;
	strcpy(more.cap[0], "KVM_CAP_MP_STATE");
	cr_assert(eq(int, host_compare(&all, &more, &err), 0), "%s", err.text);
}

Test(host_needs, everything_that_is_missing_is_named)
{
	static const struct host_needs needs = {
		.page_size = 16384,
		.tsc_khz = 2001000,
		.nmsrs = 3,
		.msr = {0x10, 0x11, 0xc0000080},
		.ncaps = 2,
		.cap = {"KVM_CAP_MP_STATE", "KVM_CAP_OF_TOMORROW"},
	};

	refused(&needs, "this host lacks pages of 16384 bytes (it has 4096), a TSC of 2001000 kHz "
			"(it has 2000000, and cannot scale it), KVM_CAP_MP_STATE, "
			"KVM_CAP_OF_TOMORROW, MSR 0x11, MSR 0xc0000080");
}

Test(host_needs, registers_that_are_zero_are_not_needed)
{
	struct x86_vcpu_state *s = calloc(1, sizeof(*s));
	struct host_needs needs = {0};

	s->tsc_khz = 2000000;
	s->nmsrs = 3;
	s->msr[0] = (struct x86_msr){.index = 0x277, .data = 1};
	s->msr[1] = (struct x86_msr){.index = 0x11};
	s->msr[2] = (struct x86_msr){.index = 0x10, .data = 5};
	arch_vcpu_needs(&NONE, s, &needs);
	s->msr[1].data = 1;
	arch_vcpu_needs(&NONE, s, &needs);
	cr_assert(eq(u32, needs.page_size, (uint32_t)sysconf(_SC_PAGESIZE)));
	cr_assert(eq(u32, needs.tsc_khz, 0)); /* nobody trusts it */
	cr_assert(eq(u32, needs.nmsrs, 3));
	cr_assert(needs.msr[0] == 0x10 && needs.msr[1] == 0x11 && needs.msr[2] == 0x277);
	free(s);
}

Test(host_needs, a_guest_that_saw_an_invariant_tsc_needs_its_rate)
{
	struct x86_vcpu_state *s = calloc(1, sizeof(*s));
	struct host_needs needs = {0};

	s->tsc_khz = 2345678;
	s->ncpuid = 1;
	s->cpuid[0] =
		(struct kvm_cpuid_entry2){.function = LEAF_EXT_POWER, .edx = EDX_INVARIANT_TSC};
	arch_vcpu_needs(&NONE, s, &needs);
	cr_assert(eq(u32, needs.tsc_khz, 2345678));
	free(s);
}
