/*
 * The guest's CPU. KVM on arm64 gives a guest the host's CPU less what it hides; what is chosen here is
 * which optional features a vCPU is made with:
 *
 *     v8    none of them: FP and AdvSIMD, and what the ID registers have besides
 *     host  SVE, pointer authentication and the PMU as well, where the host has them
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/num.h"
#include "vmm/arm64/state.h"

const char *const arch_cpu_profiles[] = {"v8", "host", NULL};
const char arch_cpu_profiles_text[] = "v8 or host";

#define ID(crm, op2) ARM64_SYS_REG(3, 0, 0, crm, op2)

/* What the needs of an appliance have of a CPU (Arm ARM D19.2), ascending by name as in the file. A
 * register whose fields are compared may have more in each; of the others KVM takes back only what the
 * host has itself. */
static const struct id_register {
	uint64_t id; /* KVM's */
	const char *name;
	uint64_t fields; /* all bits of those that are compared; 0: the same value */
} id_registers[] = {
	{ARM64_SYS_REG(3, 1, 0, 0, 7), "AIDR_EL1", 0},
	{ARM64_SYS_REG(3, 3, 0, 0, 1), "CTR_EL0", 0},
	{ID(5, 0), "ID_AA64DFR0_EL1", UINT64_C(0xfff)}, /* debug, trace, PMU */
	{ID(6, 0), "ID_AA64ISAR0_EL1", ~UINT64_C(0)},
	{ID(6, 1), "ID_AA64ISAR1_EL1", ~UINT64_C(0)},
	{ID(6, 2), "ID_AA64ISAR2_EL1", ~UINT64_C(0)},
	{ID(7, 0), "ID_AA64MMFR0_EL1",
	 ~UINT64_C(0xf)}, /* PARange is compared with the machine's size */
	{ID(7, 1), "ID_AA64MMFR1_EL1", ~UINT64_C(0)},
	{ID(7, 2), "ID_AA64MMFR2_EL1", ~UINT64_C(0)},
	{ID(4, 0), "ID_AA64PFR0_EL1", ~UINT64_C(0)},
	{ID(4, 1), "ID_AA64PFR1_EL1", ~UINT64_C(0)},
	{ID(4, 4), "ID_AA64ZFR0_EL1", ~UINT64_C(0)},
	{ARM64_SYS_REG(3, 0, 0, 0, 0), "MIDR_EL1", 0},
	{ARM64_SYS_REG(3, 0, 0, 0, 6), "REVIDR_EL1", 0},
	{KVM_REG_ARM64_SVE_VLS, "SVE_VLS", 0}, /* KVM's: bit i is vectors of (i + 1) * 128 bits */
};
static_assert(ARRAY_SIZE(id_registers) <= CPU_NEEDS_MAX_REGISTERS, "the file has room for all");

/* Fields in which 0xf is "none", and zero is something (Arm ARM D19.1.3): FP and AdvSIMD, the PMU, and the
 * granules of 4 and 64 KiB. */
static const struct {
	uint64_t id;
	uint8_t shift;
} signed_fields[] = {
	{ID(4, 0), 16}, {ID(4, 0), 20}, {ID(5, 0), 8}, {ID(7, 0), 24}, {ID(7, 0), 28},
};

static int field_value(uint64_t id, unsigned shift, uint64_t value)
{
	const int field = (int)(value >> shift & 0xf);

	for (size_t i = 0; i < ARRAY_SIZE(signed_fields); i++) {
		if (signed_fields[i].id == id && signed_fields[i].shift == shift)
			return field >= 8 ? field - 16 : field;
	}
	return field;
}

static const struct id_register *find_register(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(id_registers); i++) {
		if (strcmp(id_registers[i].name, name) == 0)
			return &id_registers[i];
	}
	return NULL;
}

/* One that is not there is zero. */
static uint64_t value_of(const struct cpu_needs *needs, const char *name)
{
	for (uint32_t i = 0; i < needs->nregisters; i++) {
		if (strcmp(needs->reg[i].name, name) == 0)
			return needs->reg[i].value;
	}
	return 0;
}

/* A vCPU has all lengths of its host up to the longest that it is given. */
static uint64_t lengths_up_to(uint64_t have, uint64_t want)
{
	return want == 0 ? 0 : have & (UINT64_MAX >> __builtin_clzll(want));
}

static void compare_register(const struct id_register *id, uint64_t have, uint64_t want,
			     struct buf *text)
{
	if (id->id == KVM_REG_ARM64_SVE_VLS)
		have = lengths_up_to(have, want);
	if (id->fields == 0 && have != want)
		LACK(text, "%s of 0x%llx (it has 0x%llx)", id->name, (unsigned long long)want,
		     (unsigned long long)have);
	for (unsigned shift = 0; shift < 64; shift += 4) {
		const int w = field_value(id->id, shift, want),
			  h = field_value(id->id, shift, have);

		if ((id->fields >> shift & 0xf) != 0 && h < w)
			LACK(text, "%s[%u:%u] of %d (it has %d)", id->name, shift + 3, shift, w, h);
	}
}

int arm64_compare_cpu(const struct cpu_needs *host, const struct cpu_needs *needs, struct err *err)
{
	cleanup_buf struct buf text = {0};

	for (size_t i = 0; i < ARRAY_SIZE(id_registers); i++)
		compare_register(&id_registers[i], value_of(host, id_registers[i].name),
				 value_of(needs, id_registers[i].name), &text);
	for (uint32_t i = 0; i < needs->nregisters; i++) {
		if (find_register(needs->reg[i].name) == NULL)
			LACK(&text, "%s, as far as this torpor knows", needs->reg[i].name);
	}
	if (buf_failed(&text))
		return err_sys(err, ENOMEM, "compare with this host");
	return text.len == 0 ? 0
			     : err_set(err, ERR_INCOMPATIBLE, "this host's CPU lacks %.*s",
				       (int)text.len, (const char *)text.data);
}

int arm64_collect_needs(struct kvm_vcpu *vcpu, const char *profile, struct cpu_needs *needs,
			struct err *err)
{
	*needs = (struct cpu_needs){0};
	snprintf(needs->profile, sizeof(needs->profile), "%s", profile);
	for (size_t i = 0; i < ARRAY_SIZE(id_registers); i++) {
		struct cpu_register *reg = &needs->reg[needs->nregisters];
		uint64_t value[KVM_ARM64_SVE_VLS_WORDS] = {0};
		int ret = arm64_get_reg(vcpu, id_registers[i].id, value, err);

		/* A vCPU without SVE has no lengths. */
		if (ret < 0 && !(ret == -ENOENT && id_registers[i].id == KVM_REG_ARM64_SVE_VLS))
			return ret;
		if (value[0] == 0)
			continue;
		reg->value = value[0];
		strcpy(reg->name, id_registers[i].name);
		needs->nregisters++;
	}
	return 0;
}

static uint32_t profile_features(const struct kvm *kvm, const char *profile)
{
	static const struct {
		unsigned cap;
		unsigned feature;
	} optional[] = {
		{KVM_CAP_ARM_PMU_V3, KVM_ARM_VCPU_PMU_V3},
		{KVM_CAP_ARM_PTRAUTH_ADDRESS, KVM_ARM_VCPU_PTRAUTH_ADDRESS},
		{KVM_CAP_ARM_PTRAUTH_GENERIC, KVM_ARM_VCPU_PTRAUTH_GENERIC},
		{KVM_CAP_ARM_SVE, KVM_ARM_VCPU_SVE},
	};
	uint32_t features = 1u << KVM_ARM_VCPU_PSCI_0_2;

	for (size_t i = 0; strcmp(profile, "host") == 0 && i < ARRAY_SIZE(optional); i++) {
		if (kvm_extension(kvm, optional[i].cap) > 0)
			features |= 1u << optional[i].feature;
	}
	return features;
}

/* The ID registers of a vCPU with these features, in a VM of its own. */
static int look_at_cpu(const char *profile, uint32_t features, struct cpu_needs *needs,
		       struct err *err)
{
	cleanup_kvm struct kvm scratch = {.dev_fd = -1, .vm_fd = -1};
	cleanup_kvm_vcpu struct kvm_vcpu vcpu = {.fd = -1};
	int ret = kvm_open(&scratch, err);

	if (ret < 0)
		return ret;
	ret = kvm_vcpu_open(&scratch, 0, &vcpu, err);
	if (ret < 0)
		return ret;
	ret = arm64_vcpu_power_on(&scratch, &vcpu, features, err);
	if (ret < 0)
		return ret;
	ret = arm64_sve_init(&vcpu, features, err);
	return ret < 0 ? ret : arm64_collect_needs(&vcpu, profile, needs, err);
}

int arch_cpu_create(const struct kvm *kvm, const char *profile, struct arch_cpu **cpu,
		    const char **chosen, struct err *err)
{
	struct arch_cpu *c;
	int ret;

	*chosen = NULL;
	for (const char *const *name = arch_cpu_profiles; *name != NULL; name++) {
		if (strcmp(*name, profile) == 0 || (profile[0] == '\0' && *chosen == NULL))
			*chosen = *name;
	}
	if (*chosen == NULL)
		return err_set(err, ERR_USAGE, "CPU profile %s: not one of %s", profile,
			       arch_cpu_profiles_text);
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return err_sys(err, ENOMEM, "allocate the CPU");
	c->features = profile_features(kvm, *chosen);
	ret = look_at_cpu(*chosen, c->features, &c->needs, err);
	if (ret < 0) {
		free(c);
		return ret;
	}
	*cpu = c;
	return 0;
}

void arch_cpu_free(struct arch_cpu *cpu)
{
	free(cpu);
}

void arch_cpu_needs(const struct arch_cpu *cpu, struct cpu_needs *needs)
{
	*needs = cpu->needs;
}

int arch_compat(const struct kvm *kvm, const struct cpu_needs *cpu, const struct host_needs *host,
		struct err *err)
{
	struct cpu_needs here;
	struct err cpu_lacks = {0};
	int ret = look_at_cpu(cpu->profile, profile_features(kvm, cpu->profile), &here, err), also;

	if (ret < 0)
		return ret;
	ret = arm64_compare_cpu(&here, cpu, &cpu_lacks);
	also = arm64_compare_host(kvm, host, err);
	if (ret == 0)
		return also;
	if (also < 0)
		return err_context(err, also, "%s", cpu_lacks.text);
	return err_copy(err, ret, &cpu_lacks);
}
