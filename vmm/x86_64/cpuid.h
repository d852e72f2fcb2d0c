/*
 * The guest's CPUID: what a profile shows, as KVM's entry list.
 *
 * A *baseline* profile is the same on every host that has it, so that a guest may move: feature bits are the
 * host's KVM-supported set cut down to a fixed list (cpu_features.c), XCR0 and leaf 0xd are fixed, the
 * model is a fixed one per vendor. "host" shows all that KVM supports, and ties the appliance to such
 * hosts.
 */
#ifndef TORPOR_VMM_X86_64_CPUID_H
#define TORPOR_VMM_X86_64_CPUID_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "format/cpuneeds.h"
#include "vmm/base/err.h"
#include "vmm/kvm.h"

#define CPUID_MAX 256u

enum cpuid_reg { REG_EAX, REG_EBX, REG_ECX, REG_EDX };

struct cpuid_list {
	uint32_t nent; /* the layout of struct kvm_cpuid2, with room */
	uint32_t padding;
	struct kvm_cpuid_entry2 entry[CPUID_MAX];
};

struct arch_cpu {
	struct cpuid_list cpuid;
	struct cpu_needs needs;
};

/* KVM_GET_SUPPORTED_CPUID (KVM API 4.46). */
int cpuid_supported(const struct kvm *kvm, struct cpuid_list *list, struct err *err);
struct kvm_cpuid_entry2 *cpuid_find(struct cpuid_list *list, uint32_t leaf, uint32_t subleaf);
uint32_t *cpuid_reg(struct kvm_cpuid_entry2 *entry, enum cpuid_reg reg);
/* 0 where the leaf is absent. */
uint32_t cpuid_bits(struct cpuid_list *list, uint32_t leaf, uint32_t subleaf, enum cpuid_reg reg);
void cpuid_vendor(struct cpuid_list *list, char vendor[13]);

/* A feature as /proc/cpuinfo names it. `level` is the lowest baseline that shows it: 1, 2, 3, or 0
 * for none. */
struct cpu_feature {
	const char *name;
	uint32_t leaf;
	uint32_t subleaf;
	uint8_t reg;
	uint8_t bit;
	uint8_t level;
	bool required; /* a host without it cannot offer that level */
};

extern const struct cpu_feature cpu_features[];
extern const unsigned cpu_nfeatures;

/* The bits of one register that `level` shows. */
uint32_t cpu_level_bits(unsigned level, uint32_t leaf, uint32_t subleaf, enum cpuid_reg reg);
/* Write the names of the features a level requires and `list` lacks; returns how many. */
unsigned cpu_level_missing(unsigned level, struct cpuid_list *list, char *names, size_t size);
/* Names of the given bits, comma-separated. A bit without a name is given by number. */
void cpu_bit_names(const struct cpu_word *word, uint32_t bits, char *names, size_t size);

#endif
