/*
 * The guest's CPUID: what a profile shows, as KVM's entry list.
 *
 * A *baseline* profile is the same on every host that has it, so that a guest may move: feature
 * bits are the host's KVM-supported set cut down to a fixed list (cpu_features.def), XCR0 and leaf
 * 0xd are fixed, the model is a fixed one per vendor. "host" shows all that KVM supports, and ties
 * the appliance to such hosts.
 */
#ifndef TORPOR_VMM_X86_64_CPUID_H
#define TORPOR_VMM_X86_64_CPUID_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "state/cpuneeds.h"
#include "vmm/kvm.h"

#define CPUID_MAX 256u

#define LEAF_FEATURES  0x1u
#define LEAF_CACHES    0x4u
#define LEAF_POWER     0x6u
#define LEAF_EXTENDED  0x7u
#define LEAF_PMU       0xau
#define LEAF_TOPOLOGY  0xbu
#define LEAF_XSAVE     0xdu
#define LEAF_TOPOLOGY2 0x1fu
#define LEAF_KVM       0x40000000u
#define LEAF_KVM_BITS  0x40000001u
#define LEAF_EXT_MAX   0x80000000u
#define LEAF_EXT_BITS  0x80000001u
#define LEAF_BRAND     0x80000002u
#define LEAF_EXT_POWER 0x80000007u
#define LEAF_SIZES     0x80000008u
#define LEAF_SVM       0x8000000au
#define LEAF_AMD_CACHE 0x8000001du
#define LEAF_AMD_TOPO  0x8000001eu

#define ECX_VMX		  (1u << 5)  /* leaf 1 */
#define ECX_TSC_DEADLINE  (1u << 24) /* leaf 1 */
#define ECX_OSXSAVE	  (1u << 27) /* leaf 1 */
#define ECX_XSAVE	  (1u << 26) /* leaf 1 */
#define ECX_HYPERVISOR	  (1u << 31) /* leaf 1 */
#define EDX_HT		  (1u << 28) /* leaf 1 */
#define ECX_PCID	  (1u << 17) /* leaf 1 */
#define EBX_INVPCID	  (1u << 10) /* leaf 7 */
#define EXT_ECX_CMP	  (1u << 1)  /* leaf 0x80000001: logical CPUs are cores */
#define EXT_ECX_SVM	  (1u << 2)  /* leaf 0x80000001 */
#define EDX_INVARIANT_TSC (1u << 8)  /* leaf 0x80000007 */

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

/* KVM_GET_SUPPORTED_CPUID (KVM API 4.46), and the TSC deadline timer, which is a capability.
 * Returns 0, ERR_INCOMPATIBLE (the list is empty), or what the ioctl gave. */
int cpuid_supported(const struct kvm *kvm, struct cpuid_list *list, struct err *err);
struct kvm_cpuid_entry2 *cpuid_find(struct cpuid_list *list, uint32_t leaf, uint32_t subleaf);
uint32_t *cpuid_reg(struct kvm_cpuid_entry2 *entry, enum cpuid_reg reg);
/* 0 where the leaf is absent. */
uint32_t cpuid_bits(struct cpuid_list *list, uint32_t leaf, uint32_t subleaf, enum cpuid_reg reg);
void cpuid_vendor(struct cpuid_list *list, char vendor[13]);

/* Everything below is pure: lists in, lists and words out. Only what returns an error can fail. */

/* Build the CPU that `profile` names out of what `host` has; arch_cpu_create() without KVM. Returns
 * 0, ERR_USAGE (no such profile) or ERR_INCOMPATIBLE (the host lacks what is named). */
int cpu_build(struct cpuid_list *host, const char *profile, struct arch_cpu *cpu,
	      const char **chosen, struct err *err);
/* Give the list the topology of vCPU `id` of `nvcpus`: one package, one thread a core, APIC id =
 * id. */
void cpu_set_topology(struct cpuid_list *list, uint32_t id, uint32_t nvcpus);

/* What a host must have so that a guest with this CPUID can go on there. */
void cpu_collect_needs(struct cpuid_list *cpuid, const char *profile, struct cpu_needs *needs);
/* The part of arch_compat() that CPUID tells, without KVM. ERR_INCOMPATIBLE lists what is
 * missing. */
int cpu_compare(struct cpuid_list *host, const struct cpu_needs *needs, struct err *err);

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

extern const unsigned cpu_nfeatures;
/* Number i of cpu_features.def. */
struct cpu_feature cpu_feature(unsigned i);

/* The bits of one register that `level` shows. */
uint32_t cpu_level_bits(unsigned level, uint32_t leaf, uint32_t subleaf, enum cpuid_reg reg);
/* Write the names of the features a level requires and `list` lacks; returns how many. */
unsigned cpu_level_missing(unsigned level, struct cpuid_list *list, char *names, size_t size);
/* Names of the given bits, comma-separated. A bit without a name is given by number. */
void cpu_bit_names(const struct cpu_word *word, uint32_t bits, char *names, size_t size);

#endif
