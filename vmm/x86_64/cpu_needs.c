/* What a guest's CPUID asks of a host, and whether a host has it. Pure; see cpuid.h. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/num.h"
#include "vmm/x86_64/cpuid.h"

/* Registers whose set bits a host must be able to give again. */
static const struct cpu_word needed[] = {
	{LEAF_FEATURES, 0, REG_ECX, ~(ECX_HYPERVISOR | ECX_OSXSAVE)},
	{LEAF_FEATURES, 0, REG_EDX, ~EDX_HT},
	{LEAF_EXTENDED, 0, REG_EBX, ~0u},
	{LEAF_EXTENDED, 0, REG_ECX, ~(1u << 4)}, /* OSPKE follows CR4 */
	{LEAF_EXTENDED, 0, REG_EDX, ~0u},
	{LEAF_EXTENDED, 1, REG_EAX, ~0u},
	{LEAF_XSAVE, 0, REG_EAX, ~0u},
	{LEAF_XSAVE, 1, REG_EAX, ~0u},
	{LEAF_KVM_BITS, 0, REG_EAX, ~0u},
	{LEAF_EXT_BITS, 0, REG_ECX, ~0u},
	{LEAF_EXT_BITS, 0, REG_EDX, ~0u},
	{LEAF_EXT_POWER, 0, REG_EDX, EDX_INVARIANT_TSC},
	{LEAF_SIZES, 0, REG_EBX, ~0u},
};

static_assert(ARRAY_SIZE(needed) <= CPU_NEEDS_MAX_WORDS, "the file has room for all");

void cpu_collect_needs(struct cpuid_list *cpuid, const char *profile, struct cpu_needs *needs)
{
	*needs = (struct cpu_needs){0};
	snprintf(needs->profile, sizeof(needs->profile), "%s", profile);
	cpuid_vendor(cpuid, needs->vendor);
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		struct cpu_word word = needed[i];

		word.bits &= cpuid_bits(cpuid, word.leaf, word.subleaf, (enum cpuid_reg)word.reg);
		if (word.bits != 0)
			needs->word[needs->nwords++] = word;
	}
}

int cpu_compare(struct cpuid_list *host, const struct cpu_needs *needs, struct err *err)
{
	char vendor[13], names[768] = "";

	cpuid_vendor(host, vendor);
	if (strcmp(vendor, needs->vendor) != 0)
		return err_set(err, ERR_INCOMPATIBLE,
			       "it was saved on a CPU of %s, this one is of %s", needs->vendor,
			       vendor);
	for (uint32_t i = 0; i < needs->nwords; i++) {
		const struct cpu_word *word = &needs->word[i];
		uint32_t have = cpuid_bits(host, word->leaf, word->subleaf,
					   (enum cpuid_reg)(word->reg & 3));

		cpu_bit_names(word, word->bits & ~have, names, sizeof(names));
	}
	if (names[0] != '\0')
		return err_set(err, ERR_INCOMPATIBLE, "this host's CPU lacks %s", names);
	return 0;
}
