/* What an appliance needs of a CPU, in a form the file can hold and any build can compare. */
#ifndef TORPOR_STATE_CPUNEEDS_H
#define TORPOR_STATE_CPUNEEDS_H

#include <stdint.h>

#define CPU_NEEDS_MAX_WORDS	32
#define CPU_NEEDS_MAX_REGISTERS 64
#define CPU_NEEDS_NAME_SIZE	24

/* x86_64: the bits of one CPUID register that the guest sees. */
struct cpu_word {
	uint32_t leaf;
	uint32_t subleaf;
	uint32_t reg; /* 0 eax, 1 ebx, 2 ecx, 3 edx */
	uint32_t bits;
};

/* aarch64: an identification register that the guest sees, under the Arm ARM's name for it,
 * "ID_AA64PFR0_EL1"; and "SVE_VLS", KVM's set of vector lengths. */
struct cpu_register {
	char name[CPU_NEEDS_NAME_SIZE];
	uint64_t value;
};

struct cpu_needs {
	char profile[16]; /* "v2", "v3", "v8", "host" */
	char vendor[13];  /* x86_64: "AuthenticAMD" */
	uint32_t nwords;
	struct cpu_word word[CPU_NEEDS_MAX_WORDS];
	/* Ascending by name; those that are not zero. A register whose name this build does not know is
	 * one that the host lacks. */
	uint32_t nregisters;
	struct cpu_register reg[CPU_NEEDS_MAX_REGISTERS];
};

#endif
