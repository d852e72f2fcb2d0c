/*
 * Feature bits by name, and the baseline each belongs to (x86-64 psABI §3.1.1 for v1, v2 and v3).
 *
 * In a baseline beyond the psABI: what every CPU of that level is known to have and guests profit from
 * (AES, PCLMULQDQ, RDRAND are optional: shown where the host has them would make two v3 hosts differ,
 * so only what the level's oldest common CPUs have is listed). Hidden on purpose: AVX-512, AMX, PKU,
 * PMU, nested virtualization, TSC_DEADLINE (the LAPIC timer then counts KVM's fixed bus clock and is
 * right on a host of another frequency), the invariant TSC, XSAVES and supervisor states.
 */
#include <stdio.h>
#include <string.h>

#include "vmm/base/num.h"
#include "vmm/x86_64/cpuid.h"

#define L1_EDX(name, bit, level, req)  {name, 1, 0, REG_EDX, bit, level, req}
#define L1_ECX(name, bit, level, req)  {name, 1, 0, REG_ECX, bit, level, req}
#define L7_EBX(name, bit, level, req)  {name, 7, 0, REG_EBX, bit, level, req}
#define L7_ECX(name, bit, level, req)  {name, 7, 0, REG_ECX, bit, level, req}
#define L7_EDX(name, bit, level, req)  {name, 7, 0, REG_EDX, bit, level, req}
#define L71_EAX(name, bit, level, req) {name, 7, 1, REG_EAX, bit, level, req}
#define X1_EDX(name, bit, level, req)  {name, 0x80000001, 0, REG_EDX, bit, level, req}
#define X1_ECX(name, bit, level, req)  {name, 0x80000001, 0, REG_ECX, bit, level, req}
#define D1_EAX(name, bit, level, req)  {name, 0xd, 1, REG_EAX, bit, level, req}
#define X8_EBX(name, bit, level, req)  {name, 0x80000008, 0, REG_EBX, bit, level, req}

const struct cpu_feature cpu_features[] = {
	L1_EDX("fpu", 0, 1, true),
	L1_EDX("vme", 1, 1, false),
	L1_EDX("de", 2, 1, false),
	L1_EDX("pse", 3, 1, false),
	L1_EDX("tsc", 4, 1, true),
	L1_EDX("msr", 5, 1, true),
	L1_EDX("pae", 6, 1, true),
	L1_EDX("mce", 7, 1, false),
	L1_EDX("cx8", 8, 1, true),
	L1_EDX("apic", 9, 1, true),
	L1_EDX("sep", 11, 1, false),
	L1_EDX("mtrr", 12, 1, false),
	L1_EDX("pge", 13, 1, false),
	L1_EDX("mca", 14, 1, false),
	L1_EDX("cmov", 15, 1, true),
	L1_EDX("pat", 16, 1, false),
	L1_EDX("pse36", 17, 1, false),
	L1_EDX("clflush", 19, 1, false),
	L1_EDX("mmx", 23, 1, true),
	L1_EDX("fxsr", 24, 1, true),
	L1_EDX("sse", 25, 1, true),
	L1_EDX("sse2", 26, 1, true),
	L1_EDX("ss", 27, 0, false),
	L1_EDX("ht", 28, 0, false),

	L1_ECX("pni", 0, 2, true),
	L1_ECX("pclmulqdq", 1, 0, false),
	L1_ECX("monitor", 3, 0, false),
	L1_ECX("vmx", 5, 0, false),
	L1_ECX("ssse3", 9, 2, true),
	L1_ECX("fma", 12, 3, true),
	L1_ECX("cx16", 13, 2, true),
	L1_ECX("pcid", 17, 0, false),
	L1_ECX("sse4_1", 19, 2, true),
	L1_ECX("sse4_2", 20, 2, true),
	L1_ECX("x2apic", 21, 1, false), /* KVM's own, on every host */
	L1_ECX("movbe", 22, 3, true),
	L1_ECX("popcnt", 23, 2, true),
	L1_ECX("tsc_deadline_timer", 24, 0, false),
	L1_ECX("aes", 25, 0, false),
	L1_ECX("xsave", 26, 3, true),
	L1_ECX("avx", 28, 3, true),
	L1_ECX("f16c", 29, 3, true),
	L1_ECX("rdrand", 30, 0, false),
	L1_ECX("hypervisor", 31, 1, false),

	L7_EBX("fsgsbase", 0, 3, false),
	L7_EBX("tsc_adjust", 1, 0, false),
	L7_EBX("bmi1", 3, 3, true),
	L7_EBX("hle", 4, 0, false),
	L7_EBX("avx2", 5, 3, true),
	L7_EBX("smep", 7, 3, false),
	L7_EBX("bmi2", 8, 3, true),
	L7_EBX("erms", 9, 3, false),
	L7_EBX("invpcid", 10, 0, false),
	L7_EBX("rtm", 11, 0, false),
	L7_EBX("mpx", 14, 0, false),
	L7_EBX("avx512f", 16, 0, false),
	L7_EBX("avx512dq", 17, 0, false),
	L7_EBX("rdseed", 18, 0, false),
	L7_EBX("adx", 19, 0, false),
	L7_EBX("smap", 20, 0, false),
	L7_EBX("avx512ifma", 21, 0, false),
	L7_EBX("clflushopt", 23, 0, false),
	L7_EBX("clwb", 24, 0, false),
	L7_EBX("avx512cd", 28, 0, false),
	L7_EBX("sha_ni", 29, 0, false),
	L7_EBX("avx512bw", 30, 0, false),
	L7_EBX("avx512vl", 31, 0, false),

	L7_ECX("avx512vbmi", 1, 0, false),
	L7_ECX("umip", 2, 0, false),
	L7_ECX("pku", 3, 0, false),
	L7_ECX("avx512_vbmi2", 6, 0, false),
	L7_ECX("shstk", 7, 0, false),
	L7_ECX("gfni", 8, 0, false),
	L7_ECX("vaes", 9, 0, false),
	L7_ECX("vpclmulqdq", 10, 0, false),
	L7_ECX("avx512_vnni", 11, 0, false),
	L7_ECX("avx512_bitalg", 12, 0, false),
	L7_ECX("avx512_vpopcntdq", 14, 0, false),
	L7_ECX("la57", 16, 0, false),
	L7_ECX("rdpid", 22, 0, false),
	L7_EDX("fsrm", 4, 0, false),
	L7_EDX("md_clear", 10, 0, false),
	L7_EDX("serialize", 14, 0, false),
	L7_EDX("amx_bf16", 22, 0, false),
	L7_EDX("amx_tile", 24, 0, false),
	L7_EDX("amx_int8", 25, 0, false),
	L7_EDX("spec_ctrl", 26, 0, false),
	L7_EDX("stibp", 27, 0, false),
	L7_EDX("arch_capabilities", 29, 0, false),
	L7_EDX("ssbd", 31, 0, false),
	L71_EAX("avx_vnni", 4, 0, false),
	L71_EAX("avx512_bf16", 5, 0, false),

	D1_EAX("xsaveopt", 0, 0, false),
	D1_EAX("xsavec", 1, 0, false),
	D1_EAX("xgetbv1", 2, 0, false),
	D1_EAX("xsaves", 3, 0, false),

	X1_EDX("syscall", 11, 1, true),
	X1_EDX("nx", 20, 1, true),
	X1_EDX("mmxext", 22, 0, false),
	X1_EDX("fxsr_opt", 25, 0, false),
	X1_EDX("pdpe1gb", 26, 0, false),
	X1_EDX("rdtscp", 27, 3, false),
	X1_EDX("lm", 29, 1, true),

	X1_ECX("lahf_lm", 0, 2, true),
	X1_ECX("svm", 2, 0, false),
	X1_ECX("cr8_legacy", 4, 0, false),
	X1_ECX("abm", 5, 3, true),
	X1_ECX("sse4a", 6, 0, false),
	X1_ECX("misalignsse", 7, 0, false),
	X1_ECX("3dnowprefetch", 8, 0, false),
	X1_ECX("osvw", 9, 0, false),
	X1_ECX("xop", 11, 0, false),
	X1_ECX("fma4", 16, 0, false),
	X1_ECX("topoext", 22, 0, false),

	X8_EBX("clzero", 0, 0, false),
	X8_EBX("xsaveerptr", 2, 0, false),
	X8_EBX("wbnoinvd", 9, 0, false),
	X8_EBX("ibpb", 12, 0, false),
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
