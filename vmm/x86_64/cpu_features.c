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

#include "base/num.h"
#include "vmm/x86_64/cpuid.h"

/* Where the features are: leaf, subleaf and register. */
enum place {
	L1_EDX,
	L1_ECX,
	L7_EBX,
	L7_ECX,
	L7_EDX,
	L71_EAX,
	D0_EAX, /* XCR0: states that XSAVE keeps (SDM vol. 1 §13.3) */
	D1_EAX,
	X1_EDX,
	X1_ECX,
	X7_EDX,
	X8_EBX,
};

static const struct {
	uint32_t leaf;
	uint8_t subleaf;
	uint8_t reg;
} places[] = {
	[L1_EDX] = {1, 0, REG_EDX},	     [L1_ECX] = {1, 0, REG_ECX},
	[L7_EBX] = {7, 0, REG_EBX},	     [L7_ECX] = {7, 0, REG_ECX},
	[L7_EDX] = {7, 0, REG_EDX},	     [L71_EAX] = {7, 1, REG_EAX},
	[D0_EAX] = {0xd, 0, REG_EAX},	     [D1_EAX] = {0xd, 1, REG_EAX},
	[X1_EDX] = {0x80000001, 0, REG_EDX}, [X1_ECX] = {0x80000001, 0, REG_ECX},
	[X7_EDX] = {0x80000007, 0, REG_EDX}, [X8_EBX] = {0x80000008, 0, REG_EBX},
};

#define FEATURE(name, place, bit, level, required) {place, bit, level, required},
static const struct feature {
	uint8_t place;
	uint8_t bit;
	uint8_t level;
	bool required;
} features[] = {
#include "vmm/x86_64/cpu_features.def"
};
#undef FEATURE

/* The names in the same order, each with its NUL: pointers would double the table. */
#define FEATURE(name, place, bit, level, required) #name "\0"
static const char feature_names[] =
#include "vmm/x86_64/cpu_features.def"
	;
#undef FEATURE

const unsigned cpu_nfeatures = ARRAY_SIZE(features);

static const char *feature_name(unsigned i)
{
	const char *name = feature_names;

	for (; i > 0; i--)
		name += strlen(name) + 1;
	return name;
}

struct cpu_feature cpu_feature(unsigned i)
{
	const struct feature *f = &features[i];

	return (struct cpu_feature){
		.name = feature_name(i),
		.leaf = places[f->place].leaf,
		.subleaf = places[f->place].subleaf,
		.reg = places[f->place].reg,
		.bit = f->bit,
		.level = f->level,
		.required = f->required,
	};
}

static bool lies_in(const struct feature *f, uint32_t leaf, uint32_t subleaf, uint32_t reg)
{
	return places[f->place].leaf == leaf && places[f->place].subleaf == subleaf &&
	       places[f->place].reg == reg;
}

uint32_t cpu_level_bits(unsigned level, uint32_t leaf, uint32_t subleaf, enum cpuid_reg reg)
{
	uint32_t bits = 0;

	for (const struct feature *f = features; f < features + cpu_nfeatures; f++) {
		if (f->level != 0 && f->level <= level && lies_in(f, leaf, subleaf, reg))
			bits |= 1u << f->bit;
	}
	return bits;
}

static void append_name(char *names, size_t size, const char *name)
{
	size_t used = strlen(names);

	snprintf(names + used, size - used, "%s%s", used > 0 ? ", " : "", name);
}

unsigned cpu_level_missing(unsigned level, struct cpuid_list *list, char *names, size_t size)
{
	unsigned missing = 0;

	names[0] = '\0';
	for (unsigned i = 0; i < cpu_nfeatures; i++) {
		const struct feature *f = &features[i];
		uint32_t bits;

		if (!f->required || f->level > level)
			continue;
		bits = cpuid_bits(list, places[f->place].leaf, places[f->place].subleaf,
				  places[f->place].reg);
		if (!(bits & 1u << f->bit)) {
			append_name(names, size, feature_name(i));
			missing++;
		}
	}
	return missing;
}

static const char *bit_name(const struct cpu_word *word, unsigned bit)
{
	for (unsigned i = 0; i < cpu_nfeatures; i++) {
		if (features[i].bit == bit &&
		    lies_in(&features[i], word->leaf, word->subleaf, word->reg))
			return feature_name(i);
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
		append_name(names, size, name);
	}
}
