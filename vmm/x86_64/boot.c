/* Loading a guest: what both boot protocols share, and the choice between them. See boot.h. */
#include "vmm/x86_64/boot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "vmm/x86_64/platform.h"

#define E820_RAM      1u
#define E820_RESERVED 2u

unsigned boot_memory_map(const struct mem *mem, struct boot_range map[BOOT_MAX_RANGES])
{
	const struct mem_range *low = &mem->range[0];
	unsigned n = 0;

	map[n++] = (struct boot_range){0, BOOT_LOW_END, E820_RAM};
	map[n++] =
		(struct boot_range){X86_ACPI_START, X86_HOLE_END - X86_ACPI_START, E820_RESERVED};
	if (low->size > X86_HOLE_END)
		map[n++] = (struct boot_range){X86_HOLE_END, low->size - X86_HOLE_END, E820_RAM};
	if (mem->nranges > 1)
		map[n++] = (struct boot_range){mem->range[1].gpa, mem->range[1].size, E820_RAM};
	return n;
}

int boot_load_cmdline(struct mem *mem, const char *cmdline, uint64_t max, struct err *err)
{
	size_t len = strlen(cmdline);

	max = u64_min(max, BOOT_CMDLINE_MAX - 1);
	if (len > max)
		return err_set(err, ERR_FAILED,
			       "command line: %zu bytes, this kernel takes at most %llu", len,
			       (unsigned long long)max);
	if (!mem_write(mem, BOOT_CMDLINE, cmdline, len + 1))
		return err_set(err, ERR_FAILED, "command line: does not fit into memory");
	return 0;
}

int boot_load_initrd(struct mem *mem, const struct blob *initrd, uint64_t floor, uint64_t limit,
		     uint64_t *gpa, struct err *err)
{
	limit = u64_min(limit, mem->range[0].size);
	if (initrd->len > limit || align_down(limit - initrd->len, 4096) < floor)
		return err_set(
			err, ERR_FAILED,
			"initrd: %llu bytes do not fit beside the kernel into %llu MiB of memory",
			(unsigned long long)initrd->len, (unsigned long long)(mem->size >> 20));
	*gpa = align_down(limit - initrd->len, 4096);
	return boot_load_blob(mem, initrd, 0, initrd->len, *gpa, "initrd", err);
}

int arch_boot_load(struct mem *mem, const struct boot_source *src, const struct board_info *board,
		   struct boot_entry *entry, struct err *err)
{
	int ret;

	if (src->kernel.len == 0)
		return err_set(err, ERR_FAILED, "there is no kernel to boot");
	if (mem->size < X86_HOLE_END)
		return err_set(err, ERR_FAILED, "memory: less than 1 MiB");
	ret = boot_bzimage(mem, src, entry, err);
	if (ret == -ENOEXEC)
		ret = boot_pvh(mem, src, entry, err);
	if (ret == -ENOEXEC)
		return err_set(
			err, ERR_FAILED,
			"kernel: not a kernel: neither a bzImage nor an ELF with a PVH note");
	if (ret < 0)
		return ret;
	ret = boot_write_cpu_tables(mem, entry->long_mode, err);
	return ret < 0 ? ret : acpi_install(mem, board, err);
}
