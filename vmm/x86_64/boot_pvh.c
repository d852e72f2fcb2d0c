/*
 * ELF kernels by the PVH boot ABI (Xen, docs/misc/pvh.pandoc; public/arch-x86/hvm/start_info.h):
 * the note XEN_ELFNOTE_PHYS32_ENTRY names a 32-bit entry point, %ebx points to hvm_start_info. The
 * file is not trusted: every offset and size is checked before use.
 */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "vmm/x86_64/boot.h"
#include "vmm/x86_64/platform.h"

#define NOTE_PHYS32_ENTRY 18u
#define NOTE_MAX_BYTES	  (1u << 20)
#define START_MAGIC	  0x336ec578u
#define MAX_PHDRS	  64u
/* Nothing in the file says what the kernel takes. Linux has room for COMMAND_LINE_SIZE bytes with
 * the NUL, and panics early when it is given more. */
#define MAX_CMDLINE 2047u

struct start_info { /* version 1 */
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t nr_modules;
	uint64_t modlist_paddr;
	uint64_t cmdline_paddr;
	uint64_t rsdp_paddr;
	uint64_t memmap_paddr;
	uint32_t memmap_entries;
	uint32_t reserved;
};

struct modlist_entry {
	uint64_t paddr;
	uint64_t size;
	uint64_t cmdline_paddr;
	uint64_t reserved;
};

struct memmap_entry {
	uint64_t addr;
	uint64_t size;
	uint32_t type;
	uint32_t reserved;
};

/* The bytes at BOOT_START_INFO. */
struct start_page {
	struct start_info info;
	struct modlist_entry module;
	struct memmap_entry map[BOOT_MAX_RANGES];
};

/* blob_read with a message for the owner of the kernel file. */
static int read_part(const struct blob *kernel, uint64_t at, void *dst, uint64_t len,
		     const char *what, struct err *err)
{
	int ret;

	if (!range_within(at, len, kernel->len))
		return err_set(err, ERR_FAILED,
			       "kernel: truncated: its %s lie beyond the end of the file", what);
	ret = blob_read(kernel, at, dst, len, err);
	return ret < 0 ? err_context(err, ret, "kernel") : 0;
}

/* What an ELF header of either class says about the program headers. */
struct elf_headers {
	bool narrow; /* ELFCLASS32: the PVH entry is a 32-bit one in both */
	uint64_t phoff;
	unsigned phentsize;
	unsigned n;
	Elf64_Phdr phdr[MAX_PHDRS];
};

static int read_elf_header(const struct blob *kernel, struct elf_headers *elf, struct err *err)
{
	union {
		uint8_t ident[EI_NIDENT];
		Elf32_Ehdr narrow;
		Elf64_Ehdr wide;
	} ehdr;
	int ret;

	if (kernel->len < sizeof(ehdr))
		return -ENOEXEC;
	ret = read_part(kernel, 0, &ehdr, sizeof(ehdr), "headers", err);
	if (ret < 0)
		return ret;
	if (memcmp(ehdr.ident, ELFMAG, SELFMAG) != 0 || ehdr.ident[EI_DATA] != ELFDATA2LSB)
		return -ENOEXEC;
	if (ehdr.ident[EI_CLASS] == ELFCLASS64 && ehdr.wide.e_machine == EM_X86_64)
		*elf = (struct elf_headers){
			.phoff = ehdr.wide.e_phoff,
			.phentsize = ehdr.wide.e_phentsize,
			.n = ehdr.wide.e_phnum,
		};
	else if (ehdr.ident[EI_CLASS] == ELFCLASS32 && ehdr.narrow.e_machine == EM_386)
		*elf = (struct elf_headers){
			.narrow = true,
			.phoff = ehdr.narrow.e_phoff,
			.phentsize = ehdr.narrow.e_phentsize,
			.n = ehdr.narrow.e_phnum,
		};
	else
		return -ENOEXEC;
	return 0;
}

static int read_elf(const struct blob *kernel, struct elf_headers *elf, struct err *err)
{
	Elf32_Phdr narrow[MAX_PHDRS];
	size_t size;
	int ret = read_elf_header(kernel, elf, err);

	if (ret < 0)
		return ret;
	size = elf->narrow ? sizeof(narrow[0]) : sizeof(elf->phdr[0]);
	if (elf->phentsize != size || elf->n == 0 || elf->n > MAX_PHDRS)
		return err_set(err, ERR_FAILED, "kernel: ELF program headers make no sense");
	if (!elf->narrow)
		return read_part(kernel, elf->phoff, elf->phdr, elf->n * size, "headers", err);
	ret = read_part(kernel, elf->phoff, narrow, elf->n * size, "headers", err);
	if (ret < 0)
		return ret;
	for (unsigned i = 0; i < elf->n; i++)
		elf->phdr[i] = (Elf64_Phdr){
			.p_type = narrow[i].p_type,
			.p_offset = narrow[i].p_offset,
			.p_paddr = narrow[i].p_paddr,
			.p_filesz = narrow[i].p_filesz,
			.p_memsz = narrow[i].p_memsz,
		};
	return 0;
}

/* Walk one note segment for the entry point. Returns true when found. */
static bool find_entry(const uint8_t *notes, uint64_t len, uint64_t *entry)
{
	uint64_t at = 0;

	while (range_within(at, sizeof(Elf64_Nhdr), len)) {
		const Elf64_Nhdr *note = (const Elf64_Nhdr *)(notes + at);
		uint64_t name = at + sizeof(*note);
		uint64_t desc = name + align_up(note->n_namesz, 4);
		uint64_t next = desc + align_up(note->n_descsz, 4);

		if (next > len)
			return false;
		if (note->n_type == NOTE_PHYS32_ENTRY && note->n_namesz == 4 &&
		    memcmp(notes + name, "Xen", 4) == 0 &&
		    (note->n_descsz == 4 || note->n_descsz == 8)) {
			*entry = note->n_descsz == 4 ? le_get32(notes + desc)
						     : le_get64(notes + desc);
			return true;
		}
		at = next;
	}
	return false;
}

static int note_segment(const struct blob *kernel, const Elf64_Phdr *phdr, uint64_t *entry,
			bool *found, struct err *err)
{
	cleanup_free uint8_t *notes = NULL;
	int ret;

	if (phdr->p_filesz > NOTE_MAX_BYTES)
		return err_set(err, ERR_FAILED, "kernel: ELF notes of %llu bytes make no sense",
			       (unsigned long long)phdr->p_filesz);
	notes = malloc(phdr->p_filesz + 1);
	if (notes == NULL)
		return err_sys(err, ENOMEM, "read the kernel's notes");
	ret = read_part(kernel, phdr->p_offset, notes, phdr->p_filesz, "notes", err);
	if (ret < 0)
		return ret;
	*found = *found || find_entry(notes, phdr->p_filesz, entry);
	return 0;
}

static int load_segment(struct mem *mem, const struct blob *kernel, const Elf64_Phdr *phdr,
			uint64_t *end, struct err *err)
{
	uint8_t *dst;
	int ret;

	if (phdr->p_memsz == 0)
		return 0;
	if (phdr->p_filesz > phdr->p_memsz || phdr->p_paddr < BOOT_KERNEL_START)
		return err_set(err, ERR_FAILED, "kernel: an ELF segment makes no sense");
	dst = mem_at_write(mem, phdr->p_paddr, phdr->p_memsz);
	if (dst == NULL)
		return err_set(err, ERR_FAILED,
			       "kernel: %llu bytes at 0x%llx do not fit into %llu MiB of memory",
			       (unsigned long long)phdr->p_memsz, (unsigned long long)phdr->p_paddr,
			       (unsigned long long)(mem->size >> 20));
	ret = read_part(kernel, phdr->p_offset, dst, phdr->p_filesz, "segments", err);
	if (ret < 0)
		return ret;
	memset(dst + phdr->p_filesz, 0, phdr->p_memsz - phdr->p_filesz);
	if (phdr->p_paddr + phdr->p_memsz > *end)
		*end = phdr->p_paddr + phdr->p_memsz;
	return 0;
}

/* It is a 32-bit one: below 4 GiB, however high other segments lie. */
static bool entry_is_loaded(const Elf64_Phdr *phdr, unsigned n, uint64_t entry)
{
	for (unsigned i = 0; i < n && entry <= UINT32_MAX; i++) {
		if (phdr[i].p_type == PT_LOAD && entry >= phdr[i].p_paddr &&
		    entry - phdr[i].p_paddr < phdr[i].p_memsz)
			return true;
	}
	return false;
}

static int write_start_info(struct mem *mem, const struct boot_source *src, uint64_t kernel_end,
			    struct err *err)
{
	struct start_page page = {
		.info =
			{
				.magic = START_MAGIC,
				.version = 1,
				.cmdline_paddr = BOOT_CMDLINE,
				.rsdp_paddr = X86_ACPI_START,
				.memmap_paddr = BOOT_START_INFO + offsetof(struct start_page, map),
			},
	};
	struct boot_range map[BOOT_MAX_RANGES];
	int ret = boot_load_cmdline(mem, src->cmdline, MAX_CMDLINE, err);

	if (ret < 0)
		return ret;
	if (src->initrd.len > 0) {
		page.info.nr_modules = 1;
		page.info.modlist_paddr = BOOT_START_INFO + offsetof(struct start_page, module);
		page.module.size = src->initrd.len;
		ret = boot_load_initrd(mem, &src->initrd, align_up(kernel_end, 4096), UINT32_MAX,
				       &page.module.paddr, err);
		if (ret < 0)
			return ret;
	}
	page.info.memmap_entries = boot_memory_map(mem, map);
	for (unsigned i = 0; i < page.info.memmap_entries; i++)
		page.map[i] = (struct memmap_entry){
			.addr = map[i].start, .size = map[i].size, .type = map[i].type};
	if (!mem_write(mem, BOOT_START_INFO, &page, sizeof(page)))
		return err_set(err, ERR_FAILED, "start info does not fit into memory");
	return 0;
}

int boot_pvh(struct mem *mem, const struct boot_source *src, struct boot_entry *entry,
	     struct err *err)
{
	struct elf_headers elf;
	uint64_t end = 0;
	bool found = false;
	int ret = read_elf(&src->kernel, &elf, err);

	if (ret < 0)
		return ret;
	*entry = (struct boot_entry){.params = BOOT_START_INFO, .long_mode = false};
	for (unsigned i = 0; i < elf.n; i++) {
		if (elf.phdr[i].p_type == PT_LOAD)
			ret = load_segment(mem, &src->kernel, &elf.phdr[i], &end, err);
		else if (elf.phdr[i].p_type == PT_NOTE)
			ret = note_segment(&src->kernel, &elf.phdr[i], &entry->entry, &found, err);
		if (ret < 0)
			return ret;
	}
	if (!found)
		return -ENOEXEC;
	if (!entry_is_loaded(elf.phdr, elf.n, entry->entry))
		return err_set(err, ERR_FAILED, "kernel: its PVH entry 0x%llx lies outside of it",
			       (unsigned long long)entry->entry);
	return write_start_info(mem, src, end, err);
}
