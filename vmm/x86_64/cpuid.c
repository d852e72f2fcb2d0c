/*
 * Building a guest's CPUID and comparing what it needs with a host; see cpuid.h and vmm/arch.h.
 * Leaf numbers: Intel SDM vol. 2 "CPUID", AMD APM vol. 3 appendix E, KVM's own in the kernel's
 * Documentation/virt/kvm/x86/cpuid.rst.
 */
#include "vmm/x86_64/cpuid.h"

#include <asm/kvm_para.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/arch.h"
#include "vmm/base/num.h"

#define LEAF_FEATURES   0x1u
#define LEAF_CACHES     0x4u
#define LEAF_POWER      0x6u
#define LEAF_EXTENDED   0x7u
#define LEAF_PMU        0xau
#define LEAF_TOPOLOGY   0xbu
#define LEAF_XSAVE      0xdu
#define LEAF_KVM        0x40000000u
#define LEAF_KVM_BITS   0x40000001u
#define LEAF_EXT_MAX    0x80000000u
#define LEAF_EXT_BITS   0x80000001u
#define LEAF_BRAND      0x80000002u
#define LEAF_EXT_POWER  0x80000007u
#define LEAF_SIZES      0x80000008u
#define LEAF_SVM        0x8000000au
#define LEAF_AMD_TOPO   0x8000001eu
#define LEAF_TOPOLOGY2  0x1fu

#define ECX_VMX          (1u << 5)
#define ECX_TSC_DEADLINE (1u << 24)
#define ECX_OSXSAVE      (1u << 27)
#define ECX_HYPERVISOR   (1u << 31)
#define EDX_HT           (1u << 28)
#define EXT_ECX_SVM      (1u << 2)
#define POWER_ARAT       (1u << 2) /* the APIC timer runs in every C-state: it is emulated */

#define XCR0_X87_SSE_AVX 0x7u
#define XSAVE_AVX_SIZE   832u /* legacy area, header and the AVX component */
#define PHYS_BITS        40u  /* holds the largest machine; every host we know has it */
#define VIRT_BITS        48u

/* One model per vendor, old enough that guests expect nothing they do not get. */
#define MODEL_AMD   0x00800f12u /* family 17h: first Zen */
#define MODEL_INTEL 0x000306c4u /* family 6: Haswell */

/* Of KVM's paravirtual features a baseline has the clock and nothing that keeps state in guest memory. */
#define KVM_BITS_BASELINE                                                                          \
	(1u << KVM_FEATURE_CLOCKSOURCE | 1u << KVM_FEATURE_NOP_IO_DELAY |                          \
	 1u << KVM_FEATURE_CLOCKSOURCE2 | 1u << KVM_FEATURE_CLOCKSOURCE_STABLE_BIT)
/* Async page faults: a page that is "not there yet" cannot be told apart from a damaged one by us. */
#define KVM_BITS_HIDDEN                                                                            \
	(1u << KVM_FEATURE_ASYNC_PF | 1u << KVM_FEATURE_ASYNC_PF_VMEXIT |                          \
	 1u << KVM_FEATURE_ASYNC_PF_INT)

int cpuid_supported(const struct kvm *kvm, struct cpuid_list *list, struct err *err)
{
	int ret;

	*list = (struct cpuid_list){.nent = CPUID_MAX};
	ret = kvm_dev_call(kvm, KVM_GET_SUPPORTED_CPUID, list, err);
	return ret < 0 ? err_context(err, ret, "ask KVM which CPU features it has") : 0;
}

struct kvm_cpuid_entry2 *cpuid_find(struct cpuid_list *list, uint32_t leaf, uint32_t subleaf)
{
	for (uint32_t i = 0; i < list->nent; i++) {
		struct kvm_cpuid_entry2 *e = &list->entry[i];

		if (e->function == leaf &&
		    (!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || e->index == subleaf))
			return e;
	}
	return NULL;
}

uint32_t *cpuid_reg(struct kvm_cpuid_entry2 *entry, enum cpuid_reg reg)
{
	switch (reg) {
	case REG_EAX:
		return &entry->eax;
	case REG_EBX:
		return &entry->ebx;
	case REG_ECX:
		return &entry->ecx;
	default:
		return &entry->edx;
	}
}

uint32_t cpuid_bits(struct cpuid_list *list, uint32_t leaf, uint32_t subleaf, enum cpuid_reg reg)
{
	struct kvm_cpuid_entry2 *entry = cpuid_find(list, leaf, subleaf);

	return entry != NULL ? *cpuid_reg(entry, reg) : 0;
}

void cpuid_vendor(struct cpuid_list *list, char vendor[13])
{
	struct kvm_cpuid_entry2 *e = cpuid_find(list, 0, 0);

	memset(vendor, 0, 13);
	if (e == NULL)
		return;
	memcpy(vendor, &e->ebx, 4);
	memcpy(vendor + 4, &e->edx, 4);
	memcpy(vendor + 8, &e->ecx, 4);
}

/* Append an entry; leaves with subleaves are marked so that KVM looks at the index. */
static struct kvm_cpuid_entry2 *add(struct cpuid_list *list, uint32_t leaf, uint32_t subleaf,
				    bool indexed)
{
	struct kvm_cpuid_entry2 *e = &list->entry[list->nent++];

	*e = (struct kvm_cpuid_entry2){
		.function = leaf,
		.index = subleaf,
		.flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
	};
	return e;
}

/* What the level shows and the host has. */
static void add_features(struct cpuid_list *to, struct cpuid_list *host, unsigned level,
			 uint32_t leaf, bool indexed)
{
	struct kvm_cpuid_entry2 *e = add(to, leaf, 0, indexed);

	for (enum cpuid_reg r = REG_EAX; r <= REG_EDX; r++)
		*cpuid_reg(e, r) =
			cpu_level_bits(level, leaf, 0, r) & cpuid_bits(host, leaf, 0, r);
}

static void add_vendor(struct cpuid_list *to, struct cpuid_list *host, uint32_t leaf, uint32_t max)
{
	struct kvm_cpuid_entry2 *vendor = cpuid_find(host, 0, 0);
	struct kvm_cpuid_entry2 *e = add(to, leaf, 0, false);

	e->eax = max;
	e->ebx = vendor->ebx;
	e->ecx = vendor->ecx;
	e->edx = vendor->edx;
}

static void add_xsave(struct cpuid_list *to)
{
	struct kvm_cpuid_entry2 *e = add(to, LEAF_XSAVE, 0, true);

	e->eax = XCR0_X87_SSE_AVX;
	e->ebx = e->ecx = XSAVE_AVX_SIZE;
	add(to, LEAF_XSAVE, 1, true);
	e = add(to, LEAF_XSAVE, 2, true);
	e->eax = 256; /* the AVX component's size and offset (SDM vol. 1 §13.5.2) */
	e->ebx = 576;
}

static void add_kvm(struct cpuid_list *to, struct cpuid_list *host)
{
	struct kvm_cpuid_entry2 *e = add(to, LEAF_KVM, 0, false);

	e->eax = LEAF_KVM_BITS;
	memcpy(&e->ebx, "KVMK", 4);
	memcpy(&e->ecx, "VMKV", 4);
	memcpy(&e->edx, "M\0\0\0", 4);
	e = add(to, LEAF_KVM_BITS, 0, false);
	e->eax = KVM_BITS_BASELINE & cpuid_bits(host, LEAF_KVM_BITS, 0, REG_EAX);
}

static void add_brand(struct cpuid_list *to, const char *profile)
{
	char brand[48] = {0};

	snprintf(brand, sizeof(brand), "torpor x86-64-%s", profile);
	for (uint32_t i = 0; i < 3; i++) {
		struct kvm_cpuid_entry2 *e = add(to, LEAF_BRAND + i, 0, false);

		for (uint32_t r = 0; r < 4; r++)
			memcpy(cpuid_reg(e, (enum cpuid_reg)r), brand + 16 * i + 4 * r, 4);
	}
}

static void build_baseline(struct cpuid_list *to, struct cpuid_list *host, unsigned level,
			   const char *profile)
{
	bool amd = cpuid_bits(host, 0, 0, REG_EBX) != 0x756e6547; /* "Genu" */
	struct kvm_cpuid_entry2 *e;

	to->nent = 0;
	add_vendor(to, host, 0, LEAF_XSAVE);
	add_features(to, host, level, LEAF_FEATURES, false);
	e = cpuid_find(to, LEAF_FEATURES, 0);
	e->eax = amd ? MODEL_AMD : MODEL_INTEL;
	e->ecx |= ECX_HYPERVISOR;
	add(to, LEAF_CACHES, 0, true);
	add(to, LEAF_POWER, 0, false)->eax = POWER_ARAT;
	add_features(to, host, level, LEAF_EXTENDED, true);
	for (uint32_t i = 0; i < 3; i++)
		add(to, LEAF_TOPOLOGY, i, true);
	if (level >= 3)
		add_xsave(to);
	add_kvm(to, host);
	add_vendor(to, host, LEAF_EXT_MAX, LEAF_SIZES);
	add_features(to, host, level, LEAF_EXT_BITS, false);
	/* AMD repeats the old bits of leaf 1 here (APM vol. 3 E.4.1). */
	if (amd)
		cpuid_find(to, LEAF_EXT_BITS, 0)->edx |=
			cpuid_find(to, LEAF_FEATURES, 0)->edx & 0x0183f3ffu;
	add_brand(to, profile);
	add(to, LEAF_SIZES, 0, false)->eax = PHYS_BITS | VIRT_BITS << 8;
}

/* Everything KVM has, except what we cannot carry to a file or a file cannot carry to another host. */
static void build_host(const struct kvm *kvm, struct cpuid_list *to, const struct cpuid_list *host)
{
	struct kvm_cpuid_entry2 *e;

	*to = *host;
	e = cpuid_find(to, LEAF_FEATURES, 0);
	e->ecx |= ECX_HYPERVISOR;
	e->ecx &= ~ECX_VMX;
	if (kvm_extension(kvm, KVM_CAP_TSC_DEADLINE_TIMER) > 0)
		e->ecx |= ECX_TSC_DEADLINE;
	e = cpuid_find(to, LEAF_EXT_BITS, 0);
	if (e != NULL)
		e->ecx &= ~EXT_ECX_SVM;
	e = cpuid_find(to, LEAF_PMU, 0);
	if (e != NULL)
		e->eax = e->ebx = e->ecx = e->edx = 0;
	e = cpuid_find(to, LEAF_SVM, 0);
	if (e != NULL)
		e->eax = e->ebx = e->ecx = e->edx = 0;
	e = cpuid_find(to, LEAF_KVM_BITS, 0);
	if (e != NULL)
		e->eax &= ~KVM_BITS_HIDDEN;
}

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
	{LEAF_SIZES, 0, REG_EBX, ~0u},
};

static void collect_needs(struct arch_cpu *cpu, const char *profile)
{
	struct cpu_needs *needs = &cpu->needs;

	snprintf(needs->profile, sizeof(needs->profile), "%s", profile);
	cpuid_vendor(&cpu->cpuid, needs->vendor);
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		struct cpu_word word = needed[i];

		word.bits &= cpuid_bits(&cpu->cpuid, word.leaf, word.subleaf,
					(enum cpuid_reg)word.reg);
		if (word.bits != 0)
			needs->word[needs->nwords++] = word;
	}
}

static const char *const baselines[] = {"v1", "v2", "v3"};

/* The best level this host has. Everything KVM runs on has v1. */
static unsigned best_level(struct cpuid_list *host)
{
	char names[512];
	unsigned level = ARRAY_SIZE(baselines);

	while (level > 1 && cpu_level_missing(level, host, names, sizeof(names)) > 0)
		level--;
	return level;
}

static int choose_level(struct cpuid_list *host, const char *profile, unsigned *level,
			struct err *err)
{
	char names[512];

	if (profile[0] == '\0') {
		*level = best_level(host);
		return 0;
	}
	for (*level = 1; *level <= ARRAY_SIZE(baselines); (*level)++) {
		if (strcmp(profile, baselines[*level - 1]) != 0)
			continue;
		if (cpu_level_missing(*level, host, names, sizeof(names)) == 0)
			return 0;
		return err_set(err, ERR_INCOMPATIBLE, "CPU profile %s: this host lacks %s", profile,
			       names);
	}
	return err_set(err, ERR_USAGE, "CPU profile %s: not one of v1, v2, v3, host", profile);
}

int arch_cpu_create(const struct kvm *kvm, const char *profile, struct arch_cpu **cpu,
		    const char **chosen, struct err *err)
{
	struct cpuid_list host;
	struct arch_cpu *made;
	unsigned level = 0;
	int ret = cpuid_supported(kvm, &host, err);

	if (ret == 0 && strcmp(profile, "host") != 0)
		ret = choose_level(&host, profile, &level, err);
	if (ret < 0)
		return ret;
	made = calloc(1, sizeof(*made));
	if (made == NULL)
		return err_sys(err, ENOMEM, "allocate the guest's CPU");
	*chosen = level > 0 ? baselines[level - 1] : "host";
	if (level > 0)
		build_baseline(&made->cpuid, &host, level, *chosen);
	else
		build_host(kvm, &made->cpuid, &host);
	collect_needs(made, *chosen);
	*cpu = made;
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

int arch_cpu_compat(const struct kvm *kvm, const struct cpu_needs *needs, struct err *err)
{
	struct cpuid_list host;
	char vendor[13], names[768] = "";
	int ret = cpuid_supported(kvm, &host, err);

	if (ret < 0)
		return ret;
	cpuid_vendor(&host, vendor);
	if (strcmp(vendor, needs->vendor) != 0)
		return err_set(err, ERR_INCOMPATIBLE, "it was saved on a CPU of %s, this one is of %s",
			       needs->vendor, vendor);
	if (kvm_extension(kvm, KVM_CAP_TSC_DEADLINE_TIMER) > 0)
		cpuid_find(&host, LEAF_FEATURES, 0)->ecx |= ECX_TSC_DEADLINE;
	for (uint32_t i = 0; i < needs->nwords; i++) {
		const struct cpu_word *word = &needs->word[i];
		uint32_t have = cpuid_bits(&host, word->leaf, word->subleaf,
					   (enum cpuid_reg)word->reg);

		cpu_bit_names(word, word->bits & ~have, names, sizeof(names));
	}
	if (names[0] != '\0')
		return err_set(err, ERR_INCOMPATIBLE, "this host's CPU lacks %s", names);
	return 0;
}

/* APIC id = vCPU number; one package, one thread a core. */
static void set_topology(struct cpuid_list *list, uint32_t id, uint32_t nvcpus)
{
	uint32_t shift = 0;

	while (1u << shift < nvcpus)
		shift++;
	for (uint32_t i = 0; i < list->nent; i++) {
		struct kvm_cpuid_entry2 *e = &list->entry[i];

		switch (e->function) {
		case LEAF_FEATURES:
			e->ebx = id << 24 | nvcpus << 16 | 8u << 8; /* CLFLUSH: 8 quadwords */
			e->edx = nvcpus > 1 ? e->edx | EDX_HT : e->edx & ~EDX_HT;
			break;
		case LEAF_CACHES:
			e->eax = (e->eax & 0x3fff) | (e->eax & 0x1f ? (nvcpus - 1) << 26 : 0);
			break;
		case LEAF_TOPOLOGY:
		case LEAF_TOPOLOGY2:
			e->eax = e->index == 1 ? shift : 0;
			e->ebx = e->index == 0 ? 1 : e->index == 1 ? nvcpus : 0;
			e->ecx = e->index | (e->index == 0 ? 0x100 : e->index == 1 ? 0x200 : 0);
			e->edx = id;
			break;
		case LEAF_SIZES:
			e->ecx = nvcpus > 1 ? shift << 12 | (nvcpus - 1) : 0;
			break;
		case LEAF_AMD_TOPO:
			e->eax = id;
			e->ebx = id;
			e->ecx = 0;
			break;
		default:
			break;
		}
	}
}

int arch_vcpu_init(struct kvm_vcpu *vcpu, const struct arch_cpu *cpu, uint32_t nvcpus,
		   struct err *err)
{
	struct cpuid_list list = cpu->cpuid;
	int ret;

	set_topology(&list, vcpu->id, nvcpus);
	ret = kvm_vcpu_call(vcpu, KVM_SET_CPUID2, &list, err);
	return ret < 0 ? err_context(err, ret, "set the CPU features of vCPU %u", vcpu->id) : 0;
}
