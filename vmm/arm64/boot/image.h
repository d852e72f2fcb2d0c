/*
 * Loading a kernel of arm64: the `Image` that its boot protocol describes (Linux,
 * Documentation/arch/arm64/booting). Calls no KVM; also built for other architectures, whose tests
 * load images into memory of their own.
 *
 *     ARM64_RAM_START  reserved to the machine (platform.h)
 *     + 2 MiB          kernel, at its text_offset
 *     then             device tree, at a multiple of 2 MiB; initrd behind it
 *
 * Machine lock held, no vCPU runs.
 */
#ifndef TORPOR_VMM_ARM64_BOOT_IMAGE_H
#define TORPOR_VMM_ARM64_BOOT_IMAGE_H

#include "vmm/arch.h"

#define ARM64_IMAGE_HEADER 64u
#define ARM64_IMAGE_ALIGN  0x200000u

/* What the header says (offsets 8, 16 and 24). */
struct arm64_image {
	uint64_t text_offset;
	uint64_t image_size; /* bytes that it uses, those behind the end of the file included */
	uint64_t flags;
};

/* Where everything is, guest-physical. */
struct arm64_layout {
	uint64_t entry;
	uint64_t tree;	 /* room for ARM64_FDT_MAX bytes, all of it in memory */
	uint64_t initrd; /* 0: none */
};

/* Read the header. ERR_FAILED says in words for the owner of the file what it is instead: by its
 * name when it is a compressed or another architecture's kernel, with what to do. */
int arm64_image_read(const uint8_t header[ARM64_IMAGE_HEADER], struct arm64_image *image,
		     struct err *err);

/* Load kernel and initrd. Returns 0; ERR_FAILED as above, and for what does not fit into memory; or
 * what blob_read() gives. */
int arm64_image_load(struct mem *mem, const struct boot_source *src, struct arm64_layout *layout,
		     struct err *err);

#endif
