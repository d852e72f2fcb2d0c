/*
 * The flattened device tree that describes torpor-1 on arm64 to its guest (Devicetree Specification
 * 0.4; the bindings are those of the kernel's Documentation/devicetree/bindings). Pure: a description
 * in, bytes out; also built for other architectures, whose tests read the tree back.
 */
#ifndef TORPOR_VMM_ARM64_BOOT_FDT_H
#define TORPOR_VMM_ARM64_BOOT_FDT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define ARM64_FDT_MAX	  0x10000u /* bytes; enough for all that this can describe */
#define ARM64_FDT_SEED	  64u
#define ARM64_MAX_CMDLINE 2047u /* COMMAND_LINE_SIZE of arm64's Linux, without the NUL */

struct arm64_tree {
	uint64_t memory; /* bytes, from ARM64_RAM_START on */
	uint32_t nvcpus; /* 1 to ARM64_GIC_REDIST_VCPUS */
	uint32_t gic;	 /* version: 2 or 3 */
	bool pmu;
	uint32_t virtio_slots; /* bit i: slot i is populated */
	const char *cmdline;
	uint64_t initrd;		  /* guest-physical */
	uint64_t initrd_len;		  /* 0: none */
	uint64_t kaslr_seed;		  /* 0: none */
	uint8_t rng_seed[ARM64_FDT_SEED]; /* all zero: none */
};

/* Write the tree: *len bytes of `out`, which has `size`. Returns 0; -ENOSPC when `size` is too small;
 * -EINVAL with ERR_FAILED when the command line is longer than ARM64_MAX_CMDLINE. */
int arm64_fdt_write(const struct arm64_tree *tree, uint8_t *out, size_t size, size_t *len,
		    struct err *err);

#endif
