/*
 * Feature bits by name, and the baseline each belongs to.
 *
 * Required by a baseline is what the x86-64 psABI (§3.1.1) requires. Shown besides is what every
 * CPU sold with that level has (AES, RDRAND …), so that hosts of one level show one CPU; on an odd
 * host without it, it is left out, and what the guest saw is recorded bit by bit.
 *
 * Hidden on purpose:
 * - AVX-512, AMX, PKU, supervisor states (XSAVES, CET): not everywhere, and each adds XSAVE state.
 * - PMU, nested virtualization: state that a save does not carry. RTM/HLE: microcode takes it away.
 * - TSC_DEADLINE: the LAPIC timer then counts KVM's fixed bus clock, right on a host of any
 *   frequency. The invariant TSC likewise: Linux reads time from kvmclock, which knows the rate.
 * - SPEC_CTRL, IBPB, SSBD, ARCH_CAPABILITIES and the like: what a CPU is vulnerable to differs from
 *   model to model. Without them a guest must assume the worst and helps itself by software
 *   (retpolines, PTI), which is safe on every host; "host" shows them.
 */
#include <stdio.h>
#include <string.h>

#include "vmm/base/num.h"
#include "vmm/x86_64/cpuid.h"

/* Leaf, subleaf and register */
#define L1_EDX	1, 0, REG_EDX
#define L1_ECX	1, 0, REG_ECX
#define L7_EBX	7, 0, REG_EBX
#define L7_ECX	7, 0, REG_ECX
#define L7_EDX	7, 0, REG_EDX
#define L71_EAX 7, 1, REG_EAX
#define D0_EAX	0xd, 0, REG_EAX /* XCR0: states that XSAVE keeps (SDM vol. 1 §13.3) */
#define D1_EAX	0xd, 1, REG_EAX
#define X1_EDX	0x80000001, 0, REG_EDX
#define X1_ECX	0x80000001, 0, REG_ECX
#define X7_EDX	0x80000007, 0, REG_EDX
#define X8_EBX	0x80000008, 0, REG_EBX

const struct cpu_feature cpu_features[] = {
	{"fpu", L1_EDX, 0, 1, true},
	{"vme", L1_EDX, 1, 1, false},
	{"de", L1_EDX, 2, 1, false},
	{"pse", L1_EDX, 3, 1, false},
	{"tsc", L1_EDX, 4, 1, true},
	{"msr", L1_EDX, 5, 1, true},
	{"pae", L1_EDX, 6, 1, true},
	{"mce", L1_EDX, 7, 1, false},
	{"cx8", L1_EDX, 8, 1, true},
	{"apic", L1_EDX, 9, 1, true},
	{"sep", L1_EDX, 11, 1, false},
	{"mtrr", L1_EDX, 12, 1, false},
	{"pge", L1_EDX, 13, 1, false},
	{"mca", L1_EDX, 14, 1, false},
	{"cmov", L1_EDX, 15, 1, true},
	{"pat", L1_EDX, 16, 1, false},
	{"pse36", L1_EDX, 17, 1, false},
	{"clflush", L1_EDX, 19, 1, false},
	{"mmx", L1_EDX, 23, 1, true},
	{"fxsr", L1_EDX, 24, 1, true},
	{"sse", L1_EDX, 25, 1, true},
	{"sse2", L1_EDX, 26, 1, true},
	{"ss", L1_EDX, 27, 0, false},
	{"ht", L1_EDX, 28, 0, false},

	{"pni", L1_ECX, 0, 2, true},
	{"pclmulqdq", L1_ECX, 1, 3, false},
	{"monitor", L1_ECX, 3, 0, false},
	{"vmx", L1_ECX, 5, 0, false},
	{"ssse3", L1_ECX, 9, 2, true},
	{"fma", L1_ECX, 12, 3, true},
	{"cx16", L1_ECX, 13, 2, true},
	{"pcid", L1_ECX, 17, 0, false},
	{"sse4_1", L1_ECX, 19, 2, true},
	{"sse4_2", L1_ECX, 20, 2, true},
	{"x2apic", L1_ECX, 21, 1, false}, /* KVM's own, on every host */
	{"movbe", L1_ECX, 22, 3, true},
	{"popcnt", L1_ECX, 23, 2, true},
	{"tsc_deadline_timer", L1_ECX, 24, 0, false},
	{"aes", L1_ECX, 25, 3, false},
	{"xsave", L1_ECX, 26, 3, true},
	{"avx", L1_ECX, 28, 3, true},
	{"f16c", L1_ECX, 29, 3, true},
	{"rdrand", L1_ECX, 30, 3, false},
	{"hypervisor", L1_ECX, 31, 1, false},

	{"fsgsbase", L7_EBX, 0, 3, false},
	{"tsc_adjust", L7_EBX, 1, 0, false},
	{"bmi1", L7_EBX, 3, 3, true},
	{"hle", L7_EBX, 4, 0, false},
	{"avx2", L7_EBX, 5, 3, true},
	{"smep", L7_EBX, 7, 3, false},
	{"bmi2", L7_EBX, 8, 3, true},
	{"erms", L7_EBX, 9, 0, false},
	{"invpcid", L7_EBX, 10, 0, false},
	{"rtm", L7_EBX, 11, 0, false},
	{"mpx", L7_EBX, 14, 0, false},
	{"avx512f", L7_EBX, 16, 0, false},
	{"avx512dq", L7_EBX, 17, 0, false},
	{"rdseed", L7_EBX, 18, 0, false},
	{"adx", L7_EBX, 19, 0, false},
	{"smap", L7_EBX, 20, 0, false},
	{"avx512ifma", L7_EBX, 21, 0, false},
	{"clflushopt", L7_EBX, 23, 0, false},
	{"clwb", L7_EBX, 24, 0, false},
	{"avx512cd", L7_EBX, 28, 0, false},
	{"sha_ni", L7_EBX, 29, 0, false},
	{"avx512bw", L7_EBX, 30, 0, false},
	{"avx512vl", L7_EBX, 31, 0, false},

	{"avx512vbmi", L7_ECX, 1, 0, false},
	{"umip", L7_ECX, 2, 0, false},
	{"pku", L7_ECX, 3, 0, false},
	{"avx512_vbmi2", L7_ECX, 6, 0, false},
	{"shstk", L7_ECX, 7, 0, false},
	{"gfni", L7_ECX, 8, 0, false},
	{"vaes", L7_ECX, 9, 0, false},
	{"vpclmulqdq", L7_ECX, 10, 0, false},
	{"avx512_vnni", L7_ECX, 11, 0, false},
	{"avx512_bitalg", L7_ECX, 12, 0, false},
	{"avx512_vpopcntdq", L7_ECX, 14, 0, false},
	{"la57", L7_ECX, 16, 0, false},
	{"rdpid", L7_ECX, 22, 0, false},
	{"fsrm", L7_EDX, 4, 0, false},
	{"md_clear", L7_EDX, 10, 0, false},
	{"serialize", L7_EDX, 14, 0, false},
	{"amx_bf16", L7_EDX, 22, 0, false},
	{"amx_tile", L7_EDX, 24, 0, false},
	{"amx_int8", L7_EDX, 25, 0, false},
	{"spec_ctrl", L7_EDX, 26, 0, false},
	{"stibp", L7_EDX, 27, 0, false},
	{"arch_capabilities", L7_EDX, 29, 0, false},
	{"ssbd", L7_EDX, 31, 0, false},
	{"avx_vnni", L71_EAX, 4, 0, false},
	{"avx512_bf16", L71_EAX, 5, 0, false},

	{"avx_state", D0_EAX, 2, 0, false},
	{"bndregs_state", D0_EAX, 3, 0, false},
	{"bndcsr_state", D0_EAX, 4, 0, false},
	{"avx512_opmask_state", D0_EAX, 5, 0, false},
	{"avx512_zmm_hi256_state", D0_EAX, 6, 0, false},
	{"avx512_hi16_zmm_state", D0_EAX, 7, 0, false},
	{"pku_state", D0_EAX, 9, 0, false},
	{"amx_tilecfg_state", D0_EAX, 17, 0, false},
	{"amx_tiledata_state", D0_EAX, 18, 0, false},
	{"xsaveopt", D1_EAX, 0, 0, false},
	{"xsavec", D1_EAX, 1, 0, false},
	{"xgetbv1", D1_EAX, 2, 0, false},
	{"xsaves", D1_EAX, 3, 0, false},

	{"syscall", X1_EDX, 11, 1, true},
	{"nx", X1_EDX, 20, 1, true},
	{"mmxext", X1_EDX, 22, 0, false},
	{"fxsr_opt", X1_EDX, 25, 0, false},
	{"pdpe1gb", X1_EDX, 26, 0, false},
	{"rdtscp", X1_EDX, 27, 3, false},
	{"lm", X1_EDX, 29, 1, true},
	{"3dnowext", X1_EDX, 30, 0, false},
	{"3dnow", X1_EDX, 31, 0, false},

	{"lahf_lm", X1_ECX, 0, 2, true},
	{"svm", X1_ECX, 2, 0, false},
	{"cr8_legacy", X1_ECX, 4, 0, false},
	{"abm", X1_ECX, 5, 3, true},
	{"sse4a", X1_ECX, 6, 0, false},
	{"misalignsse", X1_ECX, 7, 0, false},
	{"3dnowprefetch", X1_ECX, 8, 0, false},
	{"osvw", X1_ECX, 9, 0, false},
	{"xop", X1_ECX, 11, 0, false},
	{"fma4", X1_ECX, 16, 0, false},
	{"topoext", X1_ECX, 22, 0, false},

	{"constant_tsc", X7_EDX, 8, 0, false}, /* the invariant TSC */
	{"clzero", X8_EBX, 0, 0, false},
	{"xsaveerptr", X8_EBX, 2, 0, false},
	{"wbnoinvd", X8_EBX, 9, 0, false},
	{"ibpb", X8_EBX, 12, 0, false},
	{"amd_ssbd", X8_EBX, 24, 0, false},
	{"virt_ssbd", X8_EBX, 25, 0, false},
	{"amd_ssb_no", X8_EBX, 26, 0, false},
};

const unsigned cpu_nfeatures = ARRAY_SIZE(cpu_features);

uint32_t cpu_level_bits(unsigned level, uint32_t leaf, uint32_t subleaf, enum cpuid_reg reg)
{
	uint32_t bits = 0;

	for (unsigned i = 0; i < cpu_nfeatures; i++) {
		const struct cpu_feature *f = &cpu_features[i];

		if (f->leaf == leaf && f->subleaf == subleaf && f->reg == reg && f->level != 0 &&
		    f->level <= level)
			bits |= 1u << f->bit;
	}
	return bits;
}

static void add_name(char *names, size_t size, const char *name)
{
	size_t used = strlen(names);

	snprintf(names + used, size - used, "%s%s", used > 0 ? ", " : "", name);
}

unsigned cpu_level_missing(unsigned level, struct cpuid_list *list, char *names, size_t size)
{
	unsigned missing = 0;

	names[0] = '\0';
	for (unsigned i = 0; i < cpu_nfeatures; i++) {
		const struct cpu_feature *f = &cpu_features[i];

		if (!f->required || f->level > level)
			continue;
		if (!(cpuid_bits(list, f->leaf, f->subleaf, f->reg) & 1u << f->bit)) {
			add_name(names, size, f->name);
			missing++;
		}
	}
	return missing;
}

static const char *bit_name(const struct cpu_word *word, unsigned bit)
{
	for (unsigned i = 0; i < cpu_nfeatures; i++) {
		const struct cpu_feature *f = &cpu_features[i];

		if (f->leaf == word->leaf && f->subleaf == word->subleaf && f->reg == word->reg &&
		    f->bit == bit)
			return f->name;
	}
	return NULL;
}

void cpu_bit_names(const struct cpu_word *word, uint32_t bits, char *names, size_t size)
{
	static const char *const regs[] = {"eax", "ebx", "ecx", "edx"};
	char number[48];

	for (unsigned bit = 0; bit < 32; bit++) {
		const char *name = bit_name(word, bit);

		if (!(bits & 1u << bit))
			continue;
		if (name == NULL) {
			snprintf(number, sizeof(number), "cpuid %x.%x %s bit %u", word->leaf,
				 word->subleaf, regs[word->reg & 3], bit);
			name = number;
		}
		add_name(names, size, name);
	}
}
