/* The state of arm64's vCPUs and chip, and what a host lacks of a CPU: without KVM. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "vmm/arm64/state.h"

static const struct state_table *const tables[] = {&arch_vcpu_table, &arch_vm_table};

static void *sample(const struct state_table *table)
{
	void *state = calloc(1, table->size);

	if (table == &arch_vcpu_table) {
		struct arm64_vcpu_state *s = state;

		s->features = 1u << KVM_ARM_VCPU_PSCI_0_2;
		s->nregs = 2;
		s->reg[1] = (struct arm64_reg){KVM_REG_ARM_TIMER_CTL, 5};
		s->nvregs = 1;
		s->vreg[0].value[1] = 7;
		s->serror_esr = 9;
	} else {
		struct arm64_vm_state *s = state;

		s->gic = 3;
		s->ncpus = 2;
		s->cpu[1].ap1r[3] = 11;
		s->router[31] = 1;
	}
	return state;
}

Test(arm64_state, fields_tile_and_come_back)
{
	for (size_t i = 0; i < 2; i++) {
		cleanup_free void *in = sample(tables[i]), *out = calloc(1, tables[i]->size);
		cleanup_buf struct buf bytes = {0};
		struct err err;

		cr_assert(eq(int, state_check_table(tables[i], &err), 0), "%s", err.text);
		state_encode(tables[i], in, &bytes);
		cr_assert(eq(int,
			     state_decode(tables[i], tables[i]->version, bytes.data, bytes.len, out,
					  &err),
			     0),
			  "%s", err.text);
		cr_assert(eq(int, memcmp(in, out, tables[i]->size), 0));
		for (size_t len = 0; len < bytes.len; len++)
			cr_assert(lt(int,
				     state_decode(tables[i], tables[i]->version, bytes.data, len,
						  out, &err),
				     0));
	}
}

Test(arm64_state, what_no_vcpu_can_be_is_refused)
{
	cleanup_free struct arm64_vcpu_state *s = sample(&arch_vcpu_table);
	struct kvm kvm = {.chip_vcpus = 2};
	struct err err;

	s->reg[0].id = KVM_REG_ARM_PSCI_VERSION;
	s->vreg[0].id = KVM_REG_ARM64 | KVM_REG_SIZE_U128 | KVM_REG_ARM_CORE | 84;
	cr_assert(eq(int, arch_vcpu_check(&kvm, s, 0, &err), 0), "%s", err.text);
	s->reg[0].id = KVM_REG_ARM_TIMER_CNT; /* the VM's */
	cr_assert(lt(int, arch_vcpu_check(&kvm, s, 0, &err), 0));
	s->reg[0].id = KVM_REG_ARM64 | KVM_REG_SIZE_U2048;
	cr_assert(lt(int, arch_vcpu_check(&kvm, s, 0, &err), 0));
	s->reg[0].id = KVM_REG_ARM_PSCI_VERSION;
	s->nwide = 1;
	s->wide[0].id = KVM_REG_ARM64_SVE_VLS;
	cr_assert(eq(int, arch_vcpu_check(&kvm, s, 0, &err), 0), "%s", err.text);
	s->wide[0].id = s->vreg[0].id; /* not wide */
	cr_assert(lt(int, arch_vcpu_check(&kvm, s, 0, &err), 0));
	s->nwide = 0;
	s->features = 0;
	cr_assert(lt(int, arch_vcpu_check(&kvm, s, 0, &err), 0));
	s->features = 1u << KVM_ARM_VCPU_PSCI_0_2 | 1u << KVM_ARM_VCPU_EL1_32BIT;
	cr_assert(lt(int, arch_vcpu_check(&kvm, s, 0, &err), 0));
}

Test(arm64_state, a_chip_of_another_machine_is_refused)
{
	cleanup_free struct arm64_vm_state *s = sample(&arch_vm_table);
	struct kvm kvm = {.chip_version = 3, .chip_vcpus = 2};
	struct err err;

	cr_assert(eq(int, arch_vm_check(&kvm, s, &err), 0), "%s", err.text);
	kvm.chip_vcpus = 3;
	cr_assert(lt(int, arch_vm_check(&kvm, s, &err), 0));
	kvm.chip_vcpus = 2;
	s->gic = 2;
	cr_assert(lt(int, arch_vm_check(&kvm, s, &err), 0));
	cr_assert(ne(ptr, strstr(err.text, "GICv2"), NULL), "%s", err.text);
}

#define PFR0  "ID_AA64PFR0_EL1"
#define ISAR0 "ID_AA64ISAR0_EL1"

static void lacks(const struct cpu_needs *host, const struct cpu_needs *needs, const char *words)
{
	struct err err = {0};

	cr_assert(lt(int, arm64_compare_cpu(host, needs, &err), 0));
	cr_assert(eq(int, err.kind, ERR_INCOMPATIBLE));
	cr_assert(ne(ptr, strstr(err.text, words), NULL), "%s", err.text);
}

/* A host with longer vectors can do without them, and cannot leave out shorter ones. */
Test(arm64_state, vector_lengths_are_those_of_the_host_up_to_the_longest)
{
	const struct cpu_needs needs = {.nregisters = 1, .reg = {{"SVE_VLS", 0x3}}};
	struct cpu_needs host = {.nregisters = 1, .reg = {{"SVE_VLS", 0xf}}};
	struct err err;

	cr_assert(eq(int, arm64_compare_cpu(&host, &needs, &err), 0), "%s", err.text);
	host.reg[0].value = 0x1;
	lacks(&host, &needs, "SVE_VLS of 0x3 (it has 0x1)");
	host.reg[0].value = 0xa; /* no vectors of 128 bits */
	lacks(&host, &needs, "SVE_VLS of 0x3 (it has 0x2)");
	host.nregisters = 0;
	lacks(&host, &needs, "SVE_VLS");
}

Test(arm64_state, a_cpu_lacks_what_is_less_in_a_field)
{
	const struct cpu_needs needs = {.nregisters = 2,
					.reg = {{ISAR0, 0x20}, {PFR0, 0x00110022}}};
	struct cpu_needs host = needs;
	struct err err;

	cr_assert(eq(int, arm64_compare_cpu(&host, &needs, &err), 0), "%s", err.text);
	host.reg[0].value = 0x30; /* more */
	cr_assert(eq(int, arm64_compare_cpu(&host, &needs, &err), 0), "%s", err.text);
	host.reg[0].value = 0x10;
	lacks(&host, &needs, "ID_AA64ISAR0_EL1[7:4] of 2 (it has 1)");
	/* 0xf in the field of FP is none. */
	host = needs;
	host.reg[1].value = 0x001f0022;
	lacks(&host, &needs, "[19:16] of 1 (it has -1)");
	host.nregisters = 1;
	lacks(&host, &needs, "ID_AA64PFR0_EL1[3:0] of 2 (it has 0)");
}

Test(arm64_state, a_cpu_of_another_model_is_named)
{
	const struct cpu_needs needs = {.nregisters = 1, .reg = {{"MIDR_EL1", 0x413fd0c1}}};
	struct cpu_needs host = needs;

	host.reg[0].value++;
	lacks(&host, &needs, "MIDR_EL1 of 0x413fd0c1 (it has 0x413fd0c2)");
}

/* Whoever wrote it knew why it is needed. */
Test(arm64_state, a_register_that_nobody_knows_is_lacking)
{
	const struct cpu_needs needs = {.nregisters = 1, .reg = {{"ID_AA64PFR7_EL1", 1}}};

	lacks(&needs, &needs, "ID_AA64PFR7_EL1, as far as this torpor knows");
}
