/*
 * Private to the boot_*.c files: the pieces a loader puts together.
 *
 * Low memory while booting (all inside the first 640 KiB, free again once the kernel runs):
 *
 *     0x00500          GDT
 *     0x06000          hvm_start_info, memory map and module list
 *     0x07000          boot_params (zero page)
 *     0x09000-0x0efff  identity page tables for the first 4 GiB
 *     0x20000          command line (up to 64 KiB)
 *
 * Machine lock held, no vCPU runs.
 */
#ifndef TORPOR_VMM_X86_64_BOOT_H
#define TORPOR_VMM_X86_64_BOOT_H

#include "vmm/arch.h"
#include "vmm/boot_blob.h"

#define BOOT_GDT	  0x500u
#define BOOT_START_INFO	  0x6000u
#define BOOT_PARAMS	  0x7000u
#define BOOT_PAGE_TABLES  0x9000u
#define BOOT_CMDLINE	  0x20000u
#define BOOT_CMDLINE_MAX  0x10000u
#define BOOT_LOW_END	  0xa0000u
#define BOOT_KERNEL_START 0x100000u

/* One range of the memory map a guest is told, e820 types (Linux x86 boot protocol,
 * "e820_table"). */
struct boot_range {
	uint64_t start;
	uint64_t size;
	uint32_t type; /* 1 RAM, 2 reserved */
};

#define BOOT_MAX_RANGES 6

/* Returns how many ranges there are. Cannot fail. */
unsigned boot_memory_map(const struct mem *mem, struct boot_range map[BOOT_MAX_RANGES]);

/* The functions below return 0; ERR_FAILED in words for the owner of the kernel file; what
 * blob_read() gives; or -ENOMEM. */

/* Copy the command line with its NUL; `max` is what the kernel takes, without the NUL. */
int boot_load_cmdline(struct mem *mem, const char *cmdline, uint64_t max, struct err *err);
/* Put the initrd as high as it fits: at or above `floor`, ending at or below `limit`. */
int boot_load_initrd(struct mem *mem, const struct blob *initrd, uint64_t floor, uint64_t limit,
		     uint64_t *gpa, struct err *err);

/* Loaders. -ENOEXEC, *err not set: not this kind of kernel. */
int boot_bzimage(struct mem *mem, const struct boot_source *src, struct boot_entry *entry,
		 struct err *err);
int boot_pvh(struct mem *mem, const struct boot_source *src, struct boot_entry *entry,
	     struct err *err);

/* GDT and, for long mode, identity page tables (boot_vcpu.c). */
int boot_write_cpu_tables(struct mem *mem, bool long_mode, struct err *err);

/* Firmware tables (acpi.c). */
int acpi_install(struct mem *mem, const struct board_info *board, struct err *err);

#endif
