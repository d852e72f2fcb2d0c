/* From PVH's start info to tiny_main(), and RAM that is mapped. */
#include "images/tiny/tiny.h"

enum { MEMMAP_RAM = 1 };
enum { HIGH_TABLES = 16 }; /* GiB above 4 GiB that can be mapped by 2 MiB pages */

/* PVH boot structures (Xen public/arch-x86/hvm/start_info.h). */
struct start_info {
	uint32_t magic, version, flags, nr_modules;
	uint64_t modules, cmdline, rsdp, memmap;
	uint32_t memmap_entries, reserved;
};

struct memmap_entry {
	uint64_t addr, size;
	uint32_t type, reserved;
};

extern uint64_t pdpt_2m[512];

static _Alignas(PAGE) uint64_t high_tables[HIGH_TABLES][512];

static bool have_1g_pages(void)
{
	uint32_t a = 0x80000001, b, c, d;

	__asm__("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
	return d & 1u << 26;
}

/* The tables of start.S map all, where the processor has pages of 1 GiB, and else the first 4 GiB. */
uint64_t arch_map(uint64_t end)
{
	uint64_t addr = 4ull << 30;

	if (have_1g_pages())
		return 512ull << 30;
	for (unsigned t = 0; t < HIGH_TABLES && addr < end; t++) {
		for (unsigned i = 0; i < 512; i++, addr += 2 * MIB)
			high_tables[t][i] = addr | 0x83;
		pdpt_2m[4 + t] = (uint64_t)high_tables[t] | 0x03;
	}
	return addr;
}

_Noreturn void arch_main(const struct start_info *info);

void arch_main(const struct start_info *info)
{
	static struct boot boot;
	const struct memmap_entry *map = (const struct memmap_entry *)info->memmap;

	boot.cmdline = (const char *)info->cmdline;
	for (unsigned i = 0; i < info->memmap_entries && boot.nram < RAM_MAX; i++) {
		if (map[i].type == MEMMAP_RAM)
			boot.ram[boot.nram++] = (struct ram){map[i].addr, map[i].size};
	}
	tiny_main(&boot);
}
