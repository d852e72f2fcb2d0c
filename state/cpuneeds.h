/* What an appliance needs of a CPU, in a form the file can hold and any build can compare. */
#ifndef TORPOR_STATE_CPUNEEDS_H
#define TORPOR_STATE_CPUNEEDS_H

#include <stdint.h>

#define CPU_NEEDS_MAX_WORDS 32

/* The bits of one feature register that the guest sees, CPUID on x86-64. */
struct cpu_word {
	uint32_t leaf;
	uint32_t subleaf;
	uint32_t reg; /* 0 eax, 1 ebx, 2 ecx, 3 edx */
	uint32_t bits;
};

struct cpu_needs {
	char profile[16]; /* "v2", "v3", "host" */
	char vendor[13];  /* "AuthenticAMD" */
	uint32_t nwords;
	struct cpu_word word[CPU_NEEDS_MAX_WORDS];
};

#endif
