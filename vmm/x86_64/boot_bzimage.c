/*
 * bzImage by the 64-bit boot protocol (Linux, Documentation/arch/x86/boot.rst, "64-bit Boot
 * Protocol"): the protected-mode part is loaded and entered 0x200 bytes in, in long mode with
 * identity pages, %rsi pointing to boot_params. The setup header is the file's and not trusted.
 */
#include <asm/bootparam.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/num.h"
#include "vmm/x86_64/boot.h"
#include "vmm/x86_64/platform.h"

#define HDR_MAGIC      0x53726448u /* "HdrS" */
#define HDR_OFFSET     0x1f1u	   /* of struct setup_header in the file */
#define MIN_PROTOCOL   0x020cu	   /* 2.12: xloadflags */
#define SECTOR	       512u
#define DEFAULT_SECTS  4u /* setup_sects 0 means 4, for historical reasons */
#define ENTRY64	       0x200u
#define LOADER_UNKNOWN 0xffu
#define MAX_KERNEL     (256u << 20)

static int read_header(const struct blob *kernel, struct setup_header *hdr, struct err *err)
{
	uint8_t raw[HDR_OFFSET + sizeof(*hdr)];
	uint64_t len = u64_min(kernel->len, sizeof(raw));
	int ret;

	if (kernel->len < 0x206 + 2)
		return -ENOEXEC;
	memset(raw, 0, sizeof(raw));
	ret = blob_read(kernel, 0, raw, len, err);
	if (ret < 0)
		return err_context(err, ret, "kernel");
	memcpy(hdr, raw + HDR_OFFSET, sizeof(*hdr));
	/* The header ends where its jump at 0x200 lands (boot.rst, "jump"); behind it is code. */
	len = 0x202u + raw[0x201] - HDR_OFFSET;
	if (len < sizeof(*hdr))
		memset((uint8_t *)hdr + len, 0, sizeof(*hdr) - len);
	return hdr->boot_flag == 0xaa55 && hdr->header == HDR_MAGIC ? 0 : -ENOEXEC;
}

static int check_header(const struct setup_header *hdr, struct err *err)
{
	if (hdr->version < MIN_PROTOCOL)
		return err_set(err, ERR_FAILED,
			       "kernel: boot protocol %u.%02u is too old (need 2.12)",
			       hdr->version >> 8, hdr->version & 0xff);
	if (!(hdr->loadflags & LOADED_HIGH) || !(hdr->xloadflags & XLF_KERNEL_64))
		return err_set(err, ERR_FAILED, "kernel: not a 64-bit bzImage");
	return 0;
}

/* Relocatable kernels like their preferred address best; others must have it. */
static int place_kernel(const struct mem *mem, const struct setup_header *hdr, uint64_t size,
			uint64_t *start, uint64_t *end, struct err *err)
{
	uint64_t need = hdr->init_size > size ? hdr->init_size : size;

	*start = hdr->pref_address;
	if (*start < BOOT_KERNEL_START || !range_within(*start, need, mem->range[0].size)) {
		*start = BOOT_KERNEL_START;
		if (hdr->relocatable_kernel && hdr->kernel_alignment > 1 &&
		    (hdr->kernel_alignment & (hdr->kernel_alignment - 1)) == 0)
			*start = align_up(BOOT_KERNEL_START, hdr->kernel_alignment);
		if (!hdr->relocatable_kernel || !range_within(*start, need, mem->range[0].size))
			return err_set(err, ERR_FAILED,
				       "kernel: needs %llu MiB to unpack, does not fit into %llu "
				       "MiB of memory",
				       (unsigned long long)(need >> 20),
				       (unsigned long long)(mem->size >> 20));
	}
	*end = *start + need;
	return 0;
}

static int write_params(struct mem *mem, const struct boot_source *src,
			const struct setup_header *hdr, uint64_t kernel_end, struct err *err)
{
	struct boot_params params = {.hdr = *hdr};
	struct boot_range map[BOOT_MAX_RANGES];
	uint64_t initrd = 0;
	int ret;

	ret = boot_load_cmdline(mem, src->cmdline, hdr->cmdline_size, err);
	if (ret < 0)
		return ret;
	if (src->initrd.len > 0)
		ret = boot_load_initrd(mem, &src->initrd, kernel_end,
				       (uint64_t)hdr->initrd_addr_max + 1, &initrd, err);
	if (ret < 0)
		return ret;
	params.hdr.type_of_loader = LOADER_UNKNOWN;
	params.hdr.cmd_line_ptr = BOOT_CMDLINE;
	params.hdr.ramdisk_image = (uint32_t)initrd;
	params.hdr.ramdisk_size = (uint32_t)src->initrd.len;
	params.acpi_rsdp_addr = X86_ACPI_START;
	params.e820_entries = (uint8_t)boot_memory_map(mem, map);
	for (unsigned i = 0; i < params.e820_entries; i++)
		params.e820_table[i] = (struct boot_e820_entry){
			.addr = map[i].start, .size = map[i].size, .type = map[i].type};
	if (!mem_write(mem, BOOT_PARAMS, &params, sizeof(params)))
		return err_set(err, ERR_FAILED, "boot parameters do not fit into memory");
	return 0;
}

int boot_bzimage(struct mem *mem, const struct boot_source *src, struct boot_entry *entry,
		 struct err *err)
{
	struct setup_header hdr;
	uint64_t setup, size, start = 0, end = 0;
	int ret = read_header(&src->kernel, &hdr, err);

	if (ret < 0)
		return ret;
	ret = check_header(&hdr, err);
	if (ret < 0)
		return ret;
	setup = (uint64_t)(hdr.setup_sects != 0 ? hdr.setup_sects : DEFAULT_SECTS) + 1;
	setup *= SECTOR;
	size = (uint64_t)hdr.syssize * 16;
	if (size <= ENTRY64 || size > MAX_KERNEL)
		return err_set(err, ERR_FAILED, "kernel: a size of %llu bytes makes no sense",
			       (unsigned long long)size);
	/* The last 16-byte unit of syssize may be cut off in the file. */
	if (setup + size > align_up(src->kernel.len, 16))
		return err_set(err, ERR_FAILED, "kernel: truncated: %llu bytes of %llu",
			       (unsigned long long)src->kernel.len,
			       (unsigned long long)(setup + size));
	ret = place_kernel(mem, &hdr, size, &start, &end, err);
	if (ret < 0)
		return ret;
	ret = boot_load_blob(mem, &src->kernel, setup, u64_min(size, src->kernel.len - setup),
			     start, "kernel", err);
	if (ret < 0)
		return ret;
	*entry = (struct boot_entry){
		.entry = start + ENTRY64, .params = BOOT_PARAMS, .long_mode = true};
	return write_params(mem, src, &hdr, end, err);
}
