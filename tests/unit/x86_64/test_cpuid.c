/* CPU profiles: what a baseline shows on hosts of any kind, and how a lack is told. */
#include <asm/kvm_para.h>
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "vmm/arch.h"
#include "vmm/x86_64/cpuid.h"

#define INTEL "GenuineIntel"
#define AMD   "AuthenticAMD"

static struct kvm_cpuid_entry2 *add(struct cpuid_list *list, uint32_t leaf, uint32_t subleaf)
{
	struct kvm_cpuid_entry2 *e = &list->entry[list->nent++];

	*e = (struct kvm_cpuid_entry2){.function = leaf, .index = subleaf};
	if (leaf == LEAF_EXTENDED || leaf == LEAF_XSAVE || leaf == LEAF_TOPOLOGY)
		e->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
	return e;
}

static void add_vendor(struct cpuid_list *list, uint32_t leaf, const char *vendor)
{
	struct kvm_cpuid_entry2 *e = add(list, leaf, 0);

	memcpy(&e->ebx, vendor, 4);
	memcpy(&e->edx, vendor + 4, 4);
	memcpy(&e->ecx, vendor + 8, 4);
}

/* A host with every bit of every feature register: the newest CPU there can be. */
static void make_newest(struct cpuid_list *host, const char *vendor)
{
	static const uint32_t all[][2] = {
		{LEAF_FEATURES, 0},  {LEAF_EXTENDED, 0}, {LEAF_EXTENDED, 1}, {LEAF_PMU, 0},
		{LEAF_XSAVE, 0},     {LEAF_XSAVE, 1},	 {LEAF_KVM_BITS, 0}, {LEAF_EXT_BITS, 0},
		{LEAF_EXT_POWER, 0}, {LEAF_SIZES, 0},	 {LEAF_SVM, 0},
	};

	*host = (struct cpuid_list){0};
	add_vendor(host, 0, vendor);
	add_vendor(host, LEAF_EXT_MAX, vendor);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct kvm_cpuid_entry2 *e = add(host, all[i][0], all[i][1]);

		e->eax = e->ebx = e->ecx = e->edx = ~0u;
	}
}

/* A host with what one level requires by the psABI, and nothing else. */
static void make_oldest(struct cpuid_list *host, const char *vendor, unsigned level)
{
	*host = (struct cpuid_list){0};
	add_vendor(host, 0, vendor);
	add_vendor(host, LEAF_EXT_MAX, vendor);
	for (unsigned i = 0; i < cpu_nfeatures; i++) {
		struct cpu_feature f = cpu_feature(i);
		struct kvm_cpuid_entry2 *e = cpuid_find(host, f.leaf, f.subleaf);

		if (e == NULL)
			e = add(host, f.leaf, f.subleaf);
		if (f.required && f.level <= level)
			*cpuid_reg(e, f.reg) |= 1u << f.bit;
	}
	add(host, LEAF_KVM_BITS, 0)->eax = 1u << KVM_FEATURE_CLOCKSOURCE2;
}

static struct cpu_feature feature(const char *name)
{
	for (unsigned i = 0; i < cpu_nfeatures; i++) {
		if (strcmp(cpu_feature(i).name, name) == 0)
			return cpu_feature(i);
	}
	cr_fatal("no feature %s", name);
	return (struct cpu_feature){0};
}

static bool shows(struct arch_cpu *cpu, const char *name)
{
	struct cpu_feature f = feature(name);

	return cpuid_bits(&cpu->cpuid, f.leaf, f.subleaf, f.reg) & 1u << f.bit;
}

static void take_away(struct cpuid_list *host, const char *name)
{
	struct cpu_feature f = feature(name);

	*cpuid_reg(cpuid_find(host, f.leaf, f.subleaf), f.reg) &= ~(1u << f.bit);
}

static void build(struct cpuid_list *host, const char *profile, const char *want,
		  struct arch_cpu *cpu)
{
	const char *chosen = "";
	struct err err = {0};

	*cpu = (struct arch_cpu){0};
	cr_assert(eq(int, cpu_build(host, profile, cpu, &chosen, &err), 0), "%s", err.text);
	cr_assert(strcmp(chosen, want) == 0);
	cr_assert(strcmp(cpu->needs.profile, want) == 0);
}

Test(cpuid, no_two_features_share_a_bit_or_a_name)
{
	for (unsigned i = 0; i < cpu_nfeatures; i++) {
		struct cpu_feature a = cpu_feature(i);

		cr_assert(a.bit < 32 && a.level <= 3 && (a.level > 0 || !a.required));
		for (unsigned j = 0; j < i; j++) {
			struct cpu_feature b = cpu_feature(j);

			cr_assert(strcmp(a.name, b.name) != 0, "%s", a.name);
			cr_assert(a.leaf != b.leaf || a.subleaf != b.subleaf || a.reg != b.reg ||
					  a.bit != b.bit,
				  "%s and %s", a.name, b.name);
		}
	}
}

Test(cpuid, levels_require_what_the_psabi_says)
{
	static const char *const v2[] = {"cx16",   "lahf_lm", "popcnt", "pni",
					 "sse4_1", "sse4_2",  "ssse3"};
	static const char *const v3[] = {"avx", "avx2", "bmi1",	 "bmi2", "f16c",
					 "fma", "abm",	"movbe", "xsave"};
	unsigned required[4] = {0};

	for (unsigned i = 0; i < cpu_nfeatures; i++)
		required[cpu_feature(i).level] += cpu_feature(i).required;
	cr_assert(eq(u32, required[2], ARRAY_SIZE(v2)));
	cr_assert(eq(u32, required[3], ARRAY_SIZE(v3)));
	for (size_t i = 0; i < ARRAY_SIZE(v2); i++)
		cr_assert(feature(v2[i]).level == 2 && feature(v2[i]).required);
	for (size_t i = 0; i < ARRAY_SIZE(v3); i++)
		cr_assert(feature(v3[i]).level == 3 && feature(v3[i]).required);
}

Test(cpuid, empty_profile_takes_the_best_baseline)
{
	struct cpuid_list host;
	struct arch_cpu cpu;

	make_newest(&host, AMD);
	build(&host, "", "v3", &cpu);
	make_oldest(&host, AMD, 3);
	build(&host, "", "v3", &cpu);
	take_away(&host, "movbe");
	build(&host, "", "v2", &cpu);
	make_oldest(&host, INTEL, 2);
	build(&host, "", "v2", &cpu);
	take_away(&host, "sse4_2");
	build(&host, "", "v1", &cpu);
}

Test(cpuid, a_named_profile_is_given_or_refused_by_name)
{
	struct cpuid_list host;
	struct arch_cpu cpu = {0};
	const char *chosen;
	struct err err;

	make_newest(&host, INTEL);
	build(&host, "v1", "v1", &cpu);
	build(&host, "v2", "v2", &cpu);
	build(&host, "host", "host", &cpu);
	take_away(&host, "avx2");
	take_away(&host, "movbe");
	cr_assert(cpu_build(&host, "v3", &cpu, &chosen, &err) < 0);
	cr_assert(eq(int, err.kind, ERR_INCOMPATIBLE));
	cr_assert(strcmp(err.text, "CPU profile v3: this host lacks movbe, avx2") == 0);
	cr_assert(cpu_build(&host, "v4", &cpu, &chosen, &err) < 0);
	cr_assert(eq(int, err.kind, ERR_USAGE));
}

Test(cpuid, baseline_hides_what_does_not_travel)
{
	static const char *const hidden[] = {
		"avx512f",    "amx_tile",
		"pku",	      "vmx",
		"svm",	      "rtm",
		"hle",	      "xsaves",
		"mpx",	      "tsc_deadline_timer",
		"tsc_adjust", "monitor",
		"shstk",      "spec_ctrl",
		"ibpb",	      "arch_capabilities",
		"ssbd",	      "topoext",
		"xsavec",     "xsaveopt",
		"la57",	      "constant_tsc",
	};
	static const char *const vendors[] = {INTEL, AMD};

	for (size_t v = 0; v < ARRAY_SIZE(vendors); v++) {
		struct cpuid_list host;
		struct arch_cpu cpu;

		make_newest(&host, vendors[v]);
		build(&host, "v3", "v3", &cpu);
		for (size_t i = 0; i < ARRAY_SIZE(hidden); i++)
			cr_assert(eq(int, shows(&cpu, hidden[i]), 0), "%s", hidden[i]);
		cr_assert(eq(u32, cpuid_bits(&cpu.cpuid, LEAF_PMU, 0, REG_EAX), 0));
		cr_assert(eq(u32, cpuid_bits(&cpu.cpuid, LEAF_SVM, 0, REG_EDX), 0));
		/* kvmclock and nothing that can be lost on the way. */
		cr_assert(eq(u32, cpuid_bits(&cpu.cpuid, LEAF_KVM_BITS, 0, REG_EAX),
			     1u << KVM_FEATURE_CLOCKSOURCE | 1u << KVM_FEATURE_NOP_IO_DELAY |
				     1u << KVM_FEATURE_CLOCKSOURCE2 |
				     1u << KVM_FEATURE_CLOCKSOURCE_STABLE_BIT));
		cr_assert(strcmp(cpu.needs.vendor, vendors[v]) == 0);
	}
}

Test(cpuid, xsave_area_is_fixed)
{
	struct cpuid_list host;
	struct arch_cpu cpu;

	make_newest(&host, INTEL);
	build(&host, "v3", "v3", &cpu);
	cr_assert(eq(u32, cpuid_bits(&cpu.cpuid, LEAF_XSAVE, 0, REG_EAX), 7));
	cr_assert(eq(u32, cpuid_bits(&cpu.cpuid, LEAF_XSAVE, 0, REG_EBX), 832));
	cr_assert(eq(u32, cpuid_bits(&cpu.cpuid, LEAF_XSAVE, 0, REG_ECX), 832));
	cr_assert(eq(u32, cpuid_bits(&cpu.cpuid, LEAF_XSAVE, 0, REG_EDX), 0));
	cr_assert(eq(u32, cpuid_bits(&cpu.cpuid, LEAF_XSAVE, 1, REG_EAX), 0));
	cr_assert(eq(u32, cpuid_bits(&cpu.cpuid, LEAF_XSAVE, 2, REG_EAX), 256));
	cr_assert(eq(u32, cpuid_bits(&cpu.cpuid, LEAF_XSAVE, 2, REG_EBX), 576));
	build(&host, "v2", "v2", &cpu);
	cr_assert(shows(&cpu, "xsave") == false);
	cr_assert(eq(u32, cpuid_bits(&cpu.cpuid, LEAF_XSAVE, 0, REG_EAX), 0));
}

/* The promise of a baseline: the CPU seen does not depend on the host. */
Test(cpuid, two_hosts_of_a_level_show_one_cpu)
{
	static const char *const newer[] = {"avx512f", "amx_tile", "erms", "smap",
					    "rdseed",  "sha_ni",   "ibpb", "constant_tsc"};
	struct cpuid_list old_host, new_host;
	struct arch_cpu old_cpu, new_cpu;
	struct err err;

	make_newest(&new_host, AMD);
	old_host = new_host;
	for (size_t i = 0; i < ARRAY_SIZE(newer); i++)
		take_away(&old_host, newer[i]);
	cpuid_find(&old_host, LEAF_FEATURES, 0)->eax = 0x00a20f10;
	build(&old_host, "", "v3", &old_cpu);
	build(&new_host, "", "v3", &new_cpu);
	cr_assert(eq(int, memcmp(&old_cpu, &new_cpu, sizeof(old_cpu)), 0));
	cr_assert(eq(int, cpu_compare(&old_host, &new_cpu.needs, &err), 0));
	cr_assert(eq(int, cpu_compare(&new_host, &old_cpu.needs, &err), 0));
}

Test(cpuid, compare_names_everything_missing)
{
	struct cpuid_list host, other;
	struct arch_cpu cpu;
	struct err err;

	make_newest(&host, INTEL);
	build(&host, "host", "host", &cpu);
	other = host;
	take_away(&other, "avx512f");
	take_away(&other, "pku");
	cpuid_find(&other, LEAF_EXTENDED, 0)->edx &= ~1u;
	cr_assert(cpu_compare(&other, &cpu.needs, &err) < 0);
	cr_assert(eq(int, err.kind, ERR_INCOMPATIBLE));
	cr_assert(strcmp(err.text, "this host's CPU lacks avx512f, pku, cpuid 7.0 edx bit 0") == 0,
		  "%s", err.text);
	/* The same lack does not touch a baseline guest. */
	build(&host, "v3", "v3", &cpu);
	cr_assert(eq(int, cpu_compare(&other, &cpu.needs, &err), 0));
	make_oldest(&other, INTEL, 2);
	cr_assert(cpu_compare(&other, &cpu.needs, &err) < 0);
	cr_assert(ne(ptr, strstr(err.text, "avx2"), NULL));
	cr_assert(ne(ptr, strstr(err.text, "bmi2"), NULL));
}

Test(cpuid, another_vendor_is_refused)
{
	struct cpuid_list host, other;
	struct arch_cpu cpu;
	struct err err;

	make_newest(&host, INTEL);
	make_newest(&other, AMD);
	build(&host, "v3", "v3", &cpu);
	cr_assert(cpu_compare(&other, &cpu.needs, &err) < 0);
	cr_assert(eq(int, err.kind, ERR_INCOMPATIBLE));
	cr_assert(ne(ptr, strstr(err.text, "GenuineIntel, this one is of AuthenticAMD"), NULL));
}

/* Needs come from a file: no value of them may do harm. */
Test(cpuid, hostile_needs_are_only_refused)
{
	struct cpuid_list host;
	struct cpu_needs needs = {.vendor = AMD, .nwords = CPU_NEEDS_MAX_WORDS};
	struct err err;

	make_newest(&host, AMD);
	memset(needs.word, 0xff, sizeof(needs.word));
	cr_assert(cpu_compare(&host, &needs, &err) < 0);
	cr_assert(ne(ptr, strstr(err.text, "cpuid ffffffff.ffffffff edx bit 0"), NULL));
}

Test(cpuid, topology_is_one_package_of_cores)
{
	static const char *const vendors[] = {INTEL, AMD};

	for (size_t v = 0; v < ARRAY_SIZE(vendors); v++) {
		struct cpuid_list host, list;
		struct arch_cpu cpu;

		make_newest(&host, vendors[v]);
		build(&host, "v3", "v3", &cpu);
		list = cpu.cpuid;
		cpu_set_topology(&list, 2, 3);
		cr_assert(eq(u32, cpuid_bits(&list, 1, 0, REG_EBX), 2u << 24 | 3u << 16 | 8u << 8));
		cr_assert(eq(u32, cpuid_bits(&list, 1, 0, REG_EDX) & EDX_HT, EDX_HT));
		/* Thread level: 1; core level: 3 vCPUs in 2 bits of APIC id. */
		cr_assert(eq(u32, cpuid_bits(&list, 0xb, 0, REG_EBX), 1));
		cr_assert(eq(u32, cpuid_bits(&list, 0xb, 0, REG_EAX), 0));
		cr_assert(eq(u32, cpuid_bits(&list, 0xb, 1, REG_EBX), 3));
		cr_assert(eq(u32, cpuid_bits(&list, 0xb, 1, REG_EAX), 2));
		cr_assert(eq(u32, cpuid_bits(&list, 0xb, 1, REG_ECX), 0x201));
		cr_assert(eq(u32, cpuid_bits(&list, 0xb, 2, REG_EDX), 2));
		cr_assert(eq(u32, cpuid_bits(&list, LEAF_SIZES, 0, REG_ECX), 2u << 12 | 2));
		cr_assert(eq(u32, cpuid_bits(&list, LEAF_EXT_BITS, 0, REG_ECX) & EXT_ECX_CMP,
			     strcmp(vendors[v], AMD) == 0 ? EXT_ECX_CMP : 0));
		/* Alone there are no siblings. */
		list = cpu.cpuid;
		cpu_set_topology(&list, 0, 1);
		cr_assert(eq(u32, cpuid_bits(&list, 1, 0, REG_EDX) & EDX_HT, 0));
		cr_assert(eq(u32, cpuid_bits(&list, LEAF_SIZES, 0, REG_ECX), 0));
	}
}

/* This machine's own KVM. */
Test(cpuid, kvm_takes_what_we_build)
{
	static const char *const profiles[] = {"", "host"};
	struct kvm kvm;
	struct err err = {0};

	if (access("/dev/kvm", R_OK | W_OK) != 0)
		cr_skip("no usable /dev/kvm");
	cr_assert(eq(int, kvm_open(&kvm, &err), 0), "%s", err.text);
	cr_assert(eq(int, arch_vm_init(&kvm, &err), 0), "%s", err.text);
	for (uint32_t i = 0; i < ARRAY_SIZE(profiles); i++) {
		struct host_needs host = {.page_size = (uint32_t)sysconf(_SC_PAGESIZE)};
		struct cpu_needs needs;
		struct kvm_vcpu vcpu;
		struct arch_cpu *cpu;
		const char *chosen;

		cr_assert(eq(int, arch_cpu_create(&kvm, profiles[i], &cpu, &chosen, &err), 0), "%s",
			  err.text);
		cr_assert(eq(int, kvm_vcpu_open(&kvm, i, &vcpu, &err), 0), "%s", err.text);
		cr_assert(eq(int, arch_vcpu_init(&kvm, &vcpu, cpu, 2, &err), 0), "%s", err.text);
		arch_cpu_needs(cpu, &needs);
		cr_assert(strcmp(needs.profile, chosen) == 0 && needs.nwords > 3);
		cr_assert(eq(int, arch_compat(&kvm, &needs, &host, &err), 0), "%s", err.text);
		needs.vendor[0] = 'X';
		cr_assert(arch_compat(&kvm, &needs, &host, &err) < 0);
		arch_cpu_free(cpu);
		kvm_vcpu_close(&vcpu);
	}
	kvm_close(&kvm);
}
