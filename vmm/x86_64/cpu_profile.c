/*
 * What each profile shows: building a guest's CPUID out of the host's, and a vCPU's place in it.
 * Pure; see cpuid.h. Leaf numbers: Intel SDM vol. 2 "CPUID", AMD APM vol. 3 appendix E, KVM's own
 * in the kernel's Documentation/virt/kvm/x86/cpuid.rst.
 */
#include <asm/kvm_para.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "vmm/x86_64/cpuid.h"

#define POWER_ARAT	 (1u << 2) /* the APIC timer runs in every C-state: it is emulated */
#define XCR0_X87_SSE_AVX 0x7u
#define XSAVE_AVX_SIZE	 832u /* legacy area, header and the AVX component */
#define PHYS_BITS	 39u  /* what desktop CPUs of Intel have, the least of all */
#define VIRT_BITS	 48u
#define GENUINE_INTEL	 0x756e6547u /* "Genu" */

/* One model per vendor, old enough that guests expect nothing they do not get. */
#define MODEL_AMD   0x00800f12u /* family 17h: first Zen */
#define MODEL_INTEL 0x000306c4u /* family 6: Haswell */

/* Of KVM's paravirtual features a baseline has the clock and nothing that keeps state in guest
 * memory. */
#define KVM_BITS_BASELINE                                                                          \
	(1u << KVM_FEATURE_CLOCKSOURCE | 1u << KVM_FEATURE_NOP_IO_DELAY |                          \
	 1u << KVM_FEATURE_CLOCKSOURCE2 | 1u << KVM_FEATURE_CLOCKSOURCE_STABLE_BIT)
/* Async page faults: a page that is not there yet looks the same as one that cannot be read. */
#define KVM_BITS_HIDDEN                                                                            \
	(1u << KVM_FEATURE_ASYNC_PF | 1u << KVM_FEATURE_ASYNC_PF_VMEXIT |                          \
	 1u << KVM_FEATURE_ASYNC_PF_INT)

/* Append an entry; leaves with subleaves are marked so that KVM looks at the index. */
static struct kvm_cpuid_entry2 *cpuid_add(struct cpuid_list *list, uint32_t leaf, uint32_t subleaf,
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
	struct kvm_cpuid_entry2 *e = cpuid_add(to, leaf, 0, indexed);

	for (enum cpuid_reg r = REG_EAX; r <= REG_EDX; r++)
		*cpuid_reg(e, r) = cpu_level_bits(level, leaf, 0, r) & cpuid_bits(host, leaf, 0, r);
}

static void add_vendor(struct cpuid_list *to, struct cpuid_list *host, uint32_t leaf, uint32_t max)
{
	struct kvm_cpuid_entry2 *vendor = cpuid_find(host, 0, 0);
	struct kvm_cpuid_entry2 *e = cpuid_add(to, leaf, 0, false);

	e->eax = max;
	e->ebx = vendor->ebx;
	e->ecx = vendor->ecx;
	e->edx = vendor->edx;
}

static void add_xsave(struct cpuid_list *to)
{
	struct kvm_cpuid_entry2 *e = cpuid_add(to, LEAF_XSAVE, 0, true);

	e->eax = XCR0_X87_SSE_AVX;
	e->ebx = e->ecx = XSAVE_AVX_SIZE;
	cpuid_add(to, LEAF_XSAVE, 1, true);
	e = cpuid_add(to, LEAF_XSAVE, 2, true);
	e->eax = 256; /* the AVX component's size and offset (SDM vol. 1 §13.5.2) */
	e->ebx = 576;
}

static void add_kvm(struct cpuid_list *to, struct cpuid_list *host)
{
	struct kvm_cpuid_entry2 *e = cpuid_add(to, LEAF_KVM, 0, false);

	e->eax = LEAF_KVM_BITS;
	memcpy(&e->ebx, "KVMK", 4);
	memcpy(&e->ecx, "VMKV", 4);
	memcpy(&e->edx, "M\0\0\0", 4);
	e = cpuid_add(to, LEAF_KVM_BITS, 0, false);
	e->eax = KVM_BITS_BASELINE & cpuid_bits(host, LEAF_KVM_BITS, 0, REG_EAX);
}

static void add_brand(struct cpuid_list *to, const char *profile)
{
	char brand[48] = {0};

	snprintf(brand, sizeof(brand), "torpor x86-64-%s", profile);
	for (uint32_t i = 0; i < 3; i++) {
		struct kvm_cpuid_entry2 *e = cpuid_add(to, LEAF_BRAND + i, 0, false);

		for (uint32_t r = 0; r < 4; r++)
			memcpy(cpuid_reg(e, (enum cpuid_reg)r), brand + 16 * i + 4 * r, 4);
	}
}

static void build_baseline(struct cpuid_list *to, struct cpuid_list *host, unsigned level,
			   const char *profile)
{
	bool intel = cpuid_bits(host, 0, 0, REG_EBX) == GENUINE_INTEL;
	struct kvm_cpuid_entry2 *e;

	to->nent = 0;
	add_vendor(to, host, 0, LEAF_XSAVE);
	add_features(to, host, level, LEAF_FEATURES, false);
	e = cpuid_find(to, LEAF_FEATURES, 0);
	e->eax = intel ? MODEL_INTEL : MODEL_AMD;
	e->ecx |= ECX_HYPERVISOR;
	/* With page-table isolation, which Intel's need, these decide what a system call costs. */
	if (intel && level >= 3)
		e->ecx |= cpuid_bits(host, LEAF_FEATURES, 0, REG_ECX) & ECX_PCID;
	cpuid_add(to, LEAF_CACHES, 0, true);
	cpuid_add(to, LEAF_POWER, 0, false)->eax = POWER_ARAT;
	add_features(to, host, level, LEAF_EXTENDED, true);
	if (intel && level >= 3)
		cpuid_find(to, LEAF_EXTENDED, 0)->ebx |=
			cpuid_bits(host, LEAF_EXTENDED, 0, REG_EBX) & EBX_INVPCID;
	for (uint32_t i = 0; i < 3; i++)
		cpuid_add(to, LEAF_TOPOLOGY, i, true);
	if (level >= 3)
		add_xsave(to);
	add_kvm(to, host);
	add_vendor(to, host, LEAF_EXT_MAX, LEAF_SIZES);
	add_features(to, host, level, LEAF_EXT_BITS, false);
	/* AMD repeats the old bits of leaf 1 here (APM vol. 3 E.4.1). */
	if (!intel)
		cpuid_find(to, LEAF_EXT_BITS, 0)->edx |=
			cpuid_find(to, LEAF_FEATURES, 0)->edx & 0x0183f3ffu;
	add_brand(to, profile);
	cpuid_add(to, LEAF_SIZES, 0, false)->eax = PHYS_BITS | VIRT_BITS << 8;
}

static void clear_leaf(struct cpuid_list *list, uint32_t leaf)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(list, leaf, 0);

	if (e != NULL)
		e->eax = e->ebx = e->ecx = e->edx = 0;
}

/* Everything KVM has, except what we cannot carry to a file: nested guests, counters, page faults
 * in flight. */
static void build_host(struct cpuid_list *to, const struct cpuid_list *host)
{
	struct kvm_cpuid_entry2 *e;

	*to = *host;
	e = cpuid_find(to, LEAF_FEATURES, 0);
	e->ecx |= ECX_HYPERVISOR;
	e->ecx &= ~ECX_VMX;
	e = cpuid_find(to, LEAF_EXT_BITS, 0);
	if (e != NULL)
		e->ecx &= ~EXT_ECX_SVM;
	e = cpuid_find(to, LEAF_KVM_BITS, 0);
	if (e != NULL)
		e->eax &= ~KVM_BITS_HIDDEN;
	clear_leaf(to, LEAF_PMU);
	clear_leaf(to, LEAF_SVM);
}

static const char *const baselines[] = {"v1", "v2", "v3"};

const char *const arch_cpu_profiles[] = {"v1", "v2", "v3", "host", NULL};
const char arch_cpu_profiles_text[] = "v1, v2, v3 or host";

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

int cpu_build(struct cpuid_list *host, const char *profile, struct arch_cpu *cpu,
	      const char **chosen, struct err *err)
{
	unsigned level = 0;
	int ret = strcmp(profile, "host") != 0 ? choose_level(host, profile, &level, err) : 0;

	if (ret < 0)
		return ret;
	*chosen = level > 0 ? baselines[level - 1] : "host";
	if (level > 0)
		build_baseline(&cpu->cpuid, host, level, *chosen);
	else
		build_host(&cpu->cpuid, host);
	cpu_collect_needs(&cpu->cpuid, *chosen, &cpu->needs);
	return 0;
}

void cpu_set_topology(struct cpuid_list *list, uint32_t id, uint32_t nvcpus)
{
	bool intel = cpuid_bits(list, 0, 0, REG_EBX) == GENUINE_INTEL;
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
		case LEAF_AMD_CACHE:
			e->eax &= 0x3fff; /* no cache is shared */
			break;
		case LEAF_TOPOLOGY:
		case LEAF_TOPOLOGY2:
			e->eax = e->index == 1 ? shift : 0;
			e->ebx = 0;
			e->ecx = e->index;
			if (e->index == 0) { /* threads */
				e->ebx = 1;
				e->ecx |= 0x100;
			} else if (e->index == 1) { /* cores */
				e->ebx = nvcpus;
				e->ecx |= 0x200;
			}
			e->edx = id;
			break;
		case LEAF_EXT_BITS:
			if (!intel && nvcpus > 1)
				e->ecx |= EXT_ECX_CMP;
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
