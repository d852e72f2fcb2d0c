/* From the device tree (Devicetree Specification 0.4, §5) to tiny_main(): the command line, and RAM. */
#include "images/tiny/tiny.h"

enum { FDT_BEGIN_NODE = 1, FDT_END_NODE, FDT_PROP, FDT_NOP, FDT_END = 9 };

struct fdt_header {
	uint32_t magic, totalsize, off_dt_struct, off_dt_strings, off_mem_rsvmap;
	uint32_t version, last_comp_version, boot_cpuid_phys, size_dt_strings, size_dt_struct;
};

static uint32_t be32(const uint32_t *at)
{
	return __builtin_bswap32(*at);
}

static uint64_t be64(const uint32_t *at)
{
	return (uint64_t)be32(at) << 32 | be32(at + 1);
}

static size_t length(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

/* Of node /chosen or /memory@…; two cells each for address and size, as the root has them. */
static void take_property(struct boot *boot, const char *node, const char *name,
			  const uint32_t *value, uint32_t len)
{
	if (str_equal(node, "chosen") && str_equal(name, "bootargs"))
		boot->cmdline = (const char *)value;
	if (!str_after(node, "memory@") || !str_equal(name, "reg"))
		return;
	for (; len >= 16 && boot->nram < RAM_MAX; len -= 16, value += 4)
		boot->ram[boot->nram++] = (struct ram){be64(value), be64(value + 2)};
}

static void read_tree(const struct fdt_header *fdt, struct boot *boot)
{
	const uint32_t *at = (const uint32_t *)((uint64_t)fdt + be32(&fdt->off_dt_struct));
	const char *strings = (const char *)fdt + be32(&fdt->off_dt_strings), *node = "";
	uint32_t token, len;

	boot->cmdline = "";
	while ((token = be32(at++)) != FDT_END) {
		switch (token) {
		case FDT_BEGIN_NODE:
			node = (const char *)at;
			at += length(node) / 4 + 1;
			break;
		case FDT_PROP:
			len = be32(at);
			take_property(boot, node, strings + be32(at + 1), at + 2, len);
			at += 2 + (len + 3) / 4;
			break;
		}
	}
}

/* The table of start.S has as much. */
uint64_t arch_map(uint64_t end)
{
	(void)end;
	return 512ull << 30;
}

_Noreturn void arch_main(const struct fdt_header *fdt);

void arch_main(const struct fdt_header *fdt)
{
	static struct boot boot;

	read_tree(fdt, &boot);
	tiny_main(&boot);
}
