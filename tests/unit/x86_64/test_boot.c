/* Boot protocols: what lands where in guest memory, and which files are refused in which words. */
#include <asm/bootparam.h>
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/num.h"
#include "vmm/arch.h"
#include "vmm/x86_64/boot.h"
#include "vmm/x86_64/platform.h"

#define SETUP	 1024u /* one boot sector and one of setup code */
#define CODE	 4096u
#define PREF	 0x1000000ull
#define ELF_BASE 0x200000ull
#define ELF_NOTE 0x200u
#define ELF_CODE 0x400u

/* A kernel file under construction, and the guest it is loaded into. */
struct boot {
	struct mem mem;
	struct boot_source src;
	struct board_info board;
	struct boot_entry entry;
	struct err err;
	_Alignas(16) uint8_t file[SETUP + CODE];
	size_t len;
};

static struct blob blob_of(const void *data, size_t len)
{
	int fd = memfd_create("boot", MFD_CLOEXEC);

	cr_assert(fd >= 0 && write(fd, data, len) == (ssize_t)len);
	return (struct blob){.fd = fd, .len = len};
}

static void open_guest(struct boot *b, uint64_t memory)
{
	b->board = (struct board_info){.nvcpus = 2, .virtio_slots = 3};
	b->src.cmdline = "console=ttyS0";
	cr_assert(eq(int, mem_init(&b->mem, memory, &b->err), 0));
}

static void close_guest(struct boot *b)
{
	mem_free(&b->mem);
	if (b->src.kernel.len > 0)
		close(b->src.kernel.fd);
	if (b->src.initrd.len > 0)
		close(b->src.initrd.fd);
}

static struct setup_header *header(struct boot *b)
{
	return (struct setup_header *)(b->file + 0x1f1);
}

/* A well-formed bzImage; tests spoil one thing. */
static void make_bzimage(struct boot *b)
{
	struct setup_header *h = header(b);

	*h = (struct setup_header){
		.setup_sects = 1,
		.syssize = CODE / 16,
		.boot_flag = 0xaa55,
		.header = 0x53726448,
		.version = 0x20f,
		.loadflags = LOADED_HIGH,
		.initrd_addr_max = 0x7fffffff,
		.kernel_alignment = 0x200000,
		.relocatable_kernel = 1,
		.xloadflags = XLF_KERNEL_64,
		.cmdline_size = 2047,
		.pref_address = PREF,
		.init_size = 0x400000,
	};
	b->file[0x200] = 0xeb; /* jmp over the header */
	b->file[0x201] = 0x6a;
	for (unsigned i = 0; i < CODE; i++)
		b->file[SETUP + i] = (uint8_t)(i * 7);
	b->len = SETUP + CODE;
}

static Elf64_Phdr *phdrs(struct boot *b)
{
	return (Elf64_Phdr *)(b->file + sizeof(Elf64_Ehdr));
}

/* An ELF with one note segment and one loaded segment, half of which is bss. */
static void make_elf(struct boot *b)
{
	static const struct {
		Elf64_Nhdr head;
		char name[4];
		uint32_t entry;
	} note = {{4, 4, 18}, "Xen", ELF_BASE + 0x10};
	Elf64_Ehdr ehdr = {
		.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_phoff = sizeof(ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 2,
	};

	memcpy(b->file, &ehdr, sizeof(ehdr));
	phdrs(b)[0] =
		(Elf64_Phdr){.p_type = PT_NOTE, .p_offset = ELF_NOTE, .p_filesz = sizeof(note)};
	phdrs(b)[1] = (Elf64_Phdr){.p_type = PT_LOAD,
				   .p_offset = ELF_CODE,
				   .p_paddr = ELF_BASE,
				   .p_filesz = 0x800,
				   .p_memsz = 0x1000};
	memcpy(b->file + ELF_NOTE, &note, sizeof(note));
	memset(b->file + ELF_CODE, 0x5a, 0x800);
	b->len = ELF_CODE + 0x800;
}

/* The same ELF in the 32-bit class, for a 32-bit processor. */
static void make_elf32(struct boot *b)
{
	Elf64_Phdr wide[2];
	Elf32_Ehdr ehdr = {
		.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT},
		.e_type = ET_EXEC,
		.e_machine = EM_386,
		.e_phoff = sizeof(ehdr),
		.e_phentsize = sizeof(Elf32_Phdr),
		.e_phnum = 2,
	};

	make_elf(b);
	memcpy(wide, phdrs(b), sizeof(wide));
	memset(b->file, 0, sizeof(Elf64_Ehdr) + sizeof(wide));
	memcpy(b->file, &ehdr, sizeof(ehdr));
	for (unsigned i = 0; i < 2; i++) {
		Elf32_Phdr narrow = {
			.p_type = wide[i].p_type,
			.p_offset = (uint32_t)wide[i].p_offset,
			.p_paddr = (uint32_t)wide[i].p_paddr,
			.p_filesz = (uint32_t)wide[i].p_filesz,
			.p_memsz = (uint32_t)wide[i].p_memsz,
		};

		memcpy(b->file + sizeof(ehdr) + i * sizeof(narrow), &narrow, sizeof(narrow));
	}
}

static int load(struct boot *b)
{
	b->src.kernel = blob_of(b->file, b->len);
	err_clear(&b->err);
	return arch_boot_load(&b->mem, &b->src, &b->board, &b->entry, &b->err);
}

/* Load into 64 MiB, expecting a refusal with these words. */
static void expect_refusal(struct boot *b, const char *words)
{
	open_guest(b, MIB(64));
	cr_assert(load(b) < 0);
	cr_assert(eq(int, b->err.kind, ERR_FAILED), "%s", b->err.text);
	cr_assert(strstr(b->err.text, words) != NULL, "\"%s\" lacks \"%s\"", b->err.text, words);
	close_guest(b);
}

Test(boot, ram_layout)
{
	struct mem_range r[MEM_MAX_RANGES];
	unsigned n;

	arch_ram_layout(MIB(64), r, &n);
	cr_assert(n == 1 && r[0].gpa == 0 && r[0].size == MIB(64));
	arch_ram_layout(GIB(3), r, &n);
	cr_assert(n == 1 && r[0].size == GIB(3));
	arch_ram_layout(GIB(5), r, &n);
	cr_assert(n == 2 && r[0].size == GIB(3) && r[1].gpa == GIB(4) && r[1].size == GIB(2));
}

Test(boot, virtio_slots_do_not_share_anything)
{
	uint64_t base[ARCH_VIRTIO_SLOTS];
	uint32_t gsi[ARCH_VIRTIO_SLOTS];

	for (unsigned i = 0; i < ARCH_VIRTIO_SLOTS; i++) {
		arch_virtio_slot(i, &base[i], &gsi[i]);
		cr_assert(eq(u64, base[i], 0xd0000000ull + i * 0x1000ull));
		cr_assert(gsi[i] < 24 && gsi[i] != X86_SCI_GSI && gsi[i] != X86_COM1_GSI);
		for (unsigned j = 0; j < i; j++)
			cr_assert(gsi[i] != gsi[j]);
	}
}

Test(boot, bzimage_lands_at_its_preferred_address)
{
	struct boot b = {0};
	struct boot_params p;
	char cmdline[32];

	make_bzimage(&b);
	open_guest(&b, MIB(64));
	b.src.initrd = blob_of("initrd!", 7);
	cr_assert(eq(int, load(&b), 0), "%s", b.err.text);
	cr_assert(b.entry.long_mode && b.entry.entry == PREF + 0x200);
	cr_assert(eq(int, memcmp(mem_at(&b.mem, PREF, CODE), b.file + SETUP, CODE), 0));
	cr_assert(mem_read(&b.mem, b.entry.params, &p, sizeof(p)));
	cr_assert(eq(u32, p.hdr.header, 0x53726448));
	cr_assert(eq(u8, p.hdr.type_of_loader, 0xff));
	cr_assert(eq(u64, p.acpi_rsdp_addr, X86_ACPI_START));
	cr_assert(mem_read(&b.mem, p.hdr.cmd_line_ptr, cmdline, sizeof(cmdline)));
	cr_assert(strcmp(cmdline, "console=ttyS0") == 0);
	/* As high as it fits. */
	cr_assert(eq(u32, p.hdr.ramdisk_image, MIB(64) - 4096));
	cr_assert(eq(u32, p.hdr.ramdisk_size, 7));
	cr_assert(eq(int, memcmp(mem_at(&b.mem, MIB(64) - 4096, 7), "initrd!", 7), 0));
	cr_assert(eq(int, memcmp(mem_at(&b.mem, X86_ACPI_START, 8), "RSD PTR ", 8), 0));
	close_guest(&b);
}

Test(boot, e820_tells_both_ranges_and_the_hole)
{
	struct boot b = {0};
	struct boot_params p;

	make_bzimage(&b);
	open_guest(&b, GIB(5));
	cr_assert(eq(int, load(&b), 0), "%s", b.err.text);
	cr_assert(mem_read(&b.mem, b.entry.params, &p, sizeof(p)));
	cr_assert(eq(u8, p.e820_entries, 4));
	cr_assert(p.e820_table[0].addr == 0 && p.e820_table[0].size == 0xa0000);
	cr_assert(p.e820_table[0].type == 1);
	cr_assert(p.e820_table[1].addr == 0xe0000 && p.e820_table[1].size == 0x20000);
	cr_assert(p.e820_table[1].type == 2);
	cr_assert(p.e820_table[2].addr == MIB(1) && p.e820_table[2].size == GIB(3) - MIB(1));
	cr_assert(p.e820_table[3].addr == GIB(4) && p.e820_table[3].size == GIB(2));
	cr_assert(p.e820_table[2].type == 1 && p.e820_table[3].type == 1);
	close_guest(&b);
}

Test(boot, initrd_stays_below_the_kernels_limit)
{
	struct boot b = {0};
	struct boot_params p;

	make_bzimage(&b);
	header(&b)->initrd_addr_max = 0x37ffffff;
	open_guest(&b, GIB(2));
	b.src.initrd = blob_of(b.file, 5000);
	cr_assert(eq(int, load(&b), 0), "%s", b.err.text);
	cr_assert(mem_read(&b.mem, b.entry.params, &p, sizeof(p)));
	cr_assert(eq(u32, p.hdr.ramdisk_image, 0x38000000 - 8192));
	close_guest(&b);
}

Test(boot, relocatable_kernel_moves_down_in_small_memory)
{
	struct boot b = {0};

	make_bzimage(&b);
	open_guest(&b, MIB(8));
	cr_assert(eq(int, load(&b), 0), "%s", b.err.text);
	cr_assert(eq(u64, b.entry.entry, 0x200200));
	close_guest(&b);
}

Test(boot, page_tables_map_the_first_four_gib_to_themselves)
{
	static const uint64_t probe[] = {0, 0x7000, PREF + 0x345678, 0xfee00000, 0xffffffff};
	struct boot b = {0};

	make_bzimage(&b);
	open_guest(&b, MIB(64));
	cr_assert(eq(int, load(&b), 0));
	for (size_t i = 0; i < ARRAY_SIZE(probe); i++) {
		uint64_t at = BOOT_PAGE_TABLES, entry = 0, va = probe[i];

		for (int shift = 39; shift >= 21; shift -= 9) {
			cr_assert(mem_read(&b.mem, at + ((va >> shift) & 511) * 8, &entry, 8));
			cr_assert(eq(u64, entry & 3, 3));
			at = entry & 0xffffffffff000ull;
		}
		cr_assert(eq(u64, entry & 0x80, 0x80));
		cr_assert(eq(u64, at + (va & 0x1fffff), va));
	}
	close_guest(&b);
}

Test(boot, refuses_what_is_no_kernel)
{
	struct boot b = {0};

	memset(b.file, 'x', sizeof(b.file));
	b.len = sizeof(b.file);
	expect_refusal(&b, "neither a bzImage nor an ELF with a PVH note");
	b.len = 3;
	expect_refusal(&b, "neither a bzImage nor an ELF with a PVH note");
	b.len = 0;
	b.src.kernel = (struct blob){0};
	open_guest(&b, MIB(64));
	cr_assert(arch_boot_load(&b.mem, &b.src, &b.board, &b.entry, &b.err) < 0);
	cr_assert(strcmp(b.err.text, "there is no kernel to boot") == 0);
	close_guest(&b);
}

/* One spoiled header field each. */
static void spoil_version(struct boot *b)
{
	header(b)->version = 0x20b;
}

static void spoil_bits(struct boot *b)
{
	header(b)->xloadflags = 0;
}

static void spoil_high(struct boot *b)
{
	header(b)->loadflags = 0;
}

static void spoil_size(struct boot *b)
{
	header(b)->syssize = 0xffffffff;
}

static void spoil_empty(struct boot *b)
{
	header(b)->syssize = 1;
}

static void spoil_init_size(struct boot *b)
{
	header(b)->init_size = 0xffffffff;
}

static void spoil_fixed(struct boot *b)
{
	header(b)->relocatable_kernel = 0;
	header(b)->pref_address = UINT64_MAX - 4096;
}

static void spoil_length(struct boot *b)
{
	b->len -= 100;
}

static void spoil_cmdline(struct boot *b)
{
	header(b)->cmdline_size = 12;
}

static void spoil_initrd(struct boot *b)
{
	header(b)->initrd_addr_max = PREF;
	b->src.initrd = blob_of(b->file, 100);
}

Test(boot, refuses_spoiled_bzimages)
{
	static const struct {
		void (*spoil)(struct boot *b);
		const char *words;
	} cases[] = {
		{spoil_version, "boot protocol 2.11 is too old"},
		{spoil_bits, "not a 64-bit bzImage"},
		{spoil_high, "not a 64-bit bzImage"},
		{spoil_size, "makes no sense"},
		{spoil_empty, "makes no sense"},
		{spoil_init_size, "does not fit into 64 MiB of memory"},
		{spoil_fixed, "does not fit into 64 MiB of memory"},
		{spoil_length, "truncated: 5020 bytes of 5120"},
		{spoil_cmdline, "command line: 13 bytes, this kernel takes at most 12"},
		{spoil_initrd, "initrd: 100 bytes do not fit beside the kernel"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct boot b = {0};

		make_bzimage(&b);
		cases[i].spoil(&b);
		expect_refusal(&b, cases[i].words);
	}
}

static void check_pvh_entry(void (*make)(struct boot *b))
{
	struct boot b = {0};
	uint32_t info[14];
	uint64_t module[4], map;
	uint8_t *code;

	make(&b);
	open_guest(&b, MIB(64));
	memset(mem_at_write(&b.mem, ELF_BASE, 0x1000), 0xff, 0x1000);
	b.src.initrd = blob_of("initrd!", 7);
	cr_assert(eq(int, load(&b), 0), "%s", b.err.text);
	cr_assert(b.entry.entry == ELF_BASE + 0x10 && !b.entry.long_mode);
	code = mem_at_write(&b.mem, ELF_BASE, 0x1000);
	cr_assert(code[0] == 0x5a && code[0x7ff] == 0x5a && code[0x800] == 0 && code[0xfff] == 0);

	/* hvm_start_info: magic, version, flags, modules, then 64-bit addresses. */
	cr_assert(mem_read(&b.mem, b.entry.params, info, sizeof(info)));
	cr_assert(info[0] == 0x336ec578 && info[1] == 1 && info[3] == 1);
	cr_assert(mem_read(&b.mem, le_get64(&info[4]), module, sizeof(module)));
	cr_assert(module[0] == MIB(64) - 4096 && module[1] == 7);
	cr_assert(eq(int, memcmp(mem_at(&b.mem, module[0], 7), "initrd!", 7), 0));
	cr_assert(strcmp((const char *)mem_at(&b.mem, le_get64(&info[6]), 14), "console=ttyS0") ==
		  0);
	cr_assert(eq(u64, le_get64(&info[8]), X86_ACPI_START));
	map = le_get64(&info[10]);
	cr_assert(eq(u32, info[12], 3));
	cr_assert(eq(u64, le_get64(mem_at(&b.mem, map + 2 * 24, 8)), MIB(1)));
	cr_assert(eq(u64, le_get64(mem_at(&b.mem, map + 2 * 24 + 8, 8)), MIB(63)));
	close_guest(&b);
}

Test(boot, elf_is_entered_by_its_pvh_note)
{
	check_pvh_entry(make_elf);
}

/* The PVH entry is a 32-bit one, whatever the class of the file. */
Test(boot, elf_of_32_bits_is_entered_by_its_pvh_note)
{
	check_pvh_entry(make_elf32);
}

/* An ELF of one class for a processor of the other is none of ours. */
Test(boot, refuses_an_elf_of_another_processor)
{
	struct boot b = {0};

	make_elf(&b);
	((Elf64_Ehdr *)b.file)->e_machine = EM_386;
	expect_refusal(&b, "neither a bzImage nor an ELF with a PVH note");
	make_elf32(&b);
	((Elf32_Ehdr *)b.file)->e_machine = EM_X86_64;
	expect_refusal(&b, "neither a bzImage nor an ELF with a PVH note");
}

static void check_longest_cmdline(void (*make)(struct boot *b))
{
	char text[2049];
	struct boot b = {0};

	memset(text, 'x', sizeof(text));
	make(&b);
	open_guest(&b, MIB(64));
	text[2047] = '\0';
	b.src.cmdline = text;
	cr_assert(eq(int, load(&b), 0), "%s", b.err.text);
	cr_assert(eq(int, memcmp(mem_at(&b.mem, BOOT_CMDLINE, 2048), text, 2048), 0));
	close(b.src.kernel.fd);
	text[2047] = 'x';
	text[2048] = '\0';
	cr_assert(load(&b) < 0);
	cr_assert(strstr(b.err.text, "command line: 2048 bytes, this kernel takes at most 2047") !=
			  NULL,
		  "%s", b.err.text);
	close_guest(&b);
}

/* A longer one makes Linux panic before it can say why. A bzImage says what it takes; this one's
 * header has the same number. */
Test(boot, refuses_a_command_line_longer_than_the_kernel_takes)
{
	check_longest_cmdline(make_elf);
	check_longest_cmdline(make_elf32);
	check_longest_cmdline(make_bzimage);
}

static void spoil_note(struct boot *b)
{
	b->file[ELF_NOTE + 8] = 1;
}

static void spoil_note_size(struct boot *b)
{
	phdrs(b)[0].p_filesz = 1u << 30;
}

static void spoil_note_offset(struct boot *b)
{
	phdrs(b)[0].p_offset = UINT64_MAX - 4;
}

static void spoil_phnum(struct boot *b)
{
	((Elf64_Ehdr *)b->file)->e_phnum = 0xffff;
}

static void spoil_phoff(struct boot *b)
{
	((Elf64_Ehdr *)b->file)->e_phoff = UINT64_MAX - 8;
}

static void spoil_segment_size(struct boot *b)
{
	phdrs(b)[1].p_memsz = UINT64_MAX;
}

static void spoil_segment_place(struct boot *b)
{
	phdrs(b)[1].p_paddr = 0x8000;
}

static void spoil_segment_file(struct boot *b)
{
	phdrs(b)[1].p_filesz = 0x1001;
}

static void spoil_segment_offset(struct boot *b)
{
	phdrs(b)[1].p_offset = b->len - 0x7ff;
}

/* Between two segments there need not be memory. */
static void spoil_between(struct boot *b)
{
	((Elf64_Ehdr *)b->file)->e_phnum = 3;
	phdrs(b)[2] = phdrs(b)[1];
	phdrs(b)[2].p_paddr = 4 * ELF_BASE;
	le_put32(b->file + ELF_NOTE + 16, 2 * ELF_BASE);
}

/* Only its lower half would be kept. */
static void spoil_width(struct boot *b)
{
	le_put32(b->file + ELF_NOTE + 4, 8);
	phdrs(b)[0].p_filesz += 4;
	le_put64(b->file + ELF_NOTE + 16, GIB(4) + ELF_BASE);
}

static void spoil_entry(struct boot *b)
{
	le_put32(b->file + ELF_NOTE + 16, 0x8000);
}

Test(boot, refuses_spoiled_elfs)
{
	static const struct {
		void (*spoil)(struct boot *b);
		const char *words;
	} cases[] = {
		{spoil_note, "neither a bzImage nor an ELF with a PVH note"},
		{spoil_note_size, "notes of 1073741824 bytes make no sense"},
		{spoil_note_offset, "truncated: its notes lie beyond"},
		{spoil_phnum, "program headers make no sense"},
		{spoil_phoff, "truncated: its headers lie beyond"},
		{spoil_segment_size, "do not fit into 64 MiB of memory"},
		{spoil_segment_place, "segment makes no sense"},
		{spoil_segment_file, "segment makes no sense"},
		{spoil_segment_offset, "truncated: its segments lie beyond"},
		{spoil_entry, "entry 0x8000 lies outside"},
		{spoil_between, "entry 0x400000 lies outside"},
		{spoil_width, "entry 0x100200000 lies outside"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct boot b = {0};

		make_elf(&b);
		cases[i].spoil(&b);
		expect_refusal(&b, cases[i].words);
	}
}

/* Every shorter file is refused: nothing of a kernel is optional. */
static void expect_truncations_refused(void (*make)(struct boot *b))
{
	struct boot b = {0};
	size_t whole;

	make(&b);
	whole = b.len;
	open_guest(&b, MIB(64));
	for (b.len = 1; b.len < whole; b.len += b.len < 700 ? 1 : 61) {
		cr_assert(load(&b) < 0, "%zu of %zu bytes", b.len, whole);
		close(b.src.kernel.fd);
	}
	b.len = whole;
	cr_assert(eq(int, load(&b), 0));
	close_guest(&b);
}

Test(boot, refuses_every_truncated_bzimage)
{
	expect_truncations_refused(make_bzimage);
}

Test(boot, refuses_every_truncated_elf)
{
	expect_truncations_refused(make_elf);
	expect_truncations_refused(make_elf32);
}

/* Hostile headers: any byte of them changed to anything nasty is loaded or refused, in words. */
static void expect_mutations_handled(void (*make)(struct boot *b), size_t from, size_t to)
{
	static const uint8_t nasty[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
	struct boot b = {0};

	make(&b);
	open_guest(&b, MIB(16));
	for (size_t at = from; at < to; at++) {
		uint8_t good = b.file[at];

		for (size_t i = 0; i < sizeof(nasty); i++) {
			b.file[at] = nasty[i];
			if (load(&b) < 0)
				cr_assert(b.err.text[0] != '\0', "byte 0x%zx", at);
			else
				cr_assert(mem_at(&b.mem, b.entry.entry, 1) != NULL, "byte 0x%zx",
					  at);
			close(b.src.kernel.fd);
		}
		b.file[at] = good;
	}
	mem_free(&b.mem);
}

Test(boot, mutated_bzimage_headers)
{
	expect_mutations_handled(make_bzimage, 0x1f1, 0x26c);
}

Test(boot, mutated_elf_headers)
{
	expect_mutations_handled(make_elf, 0, sizeof(Elf64_Ehdr) + 2 * sizeof(Elf64_Phdr));
	expect_mutations_handled(make_elf32, 0, sizeof(Elf32_Ehdr) + 2 * sizeof(Elf32_Phdr));
}

/* Run the boot vCPU until it writes to a port, and return what it wrote. */
static uint32_t run_to_port(struct boot *b)
{
	struct kvm kvm;
	struct kvm_vcpu vcpu;
	struct arch_cpu *cpu;
	const char *chosen;
	uint32_t wrote;

	cr_assert(eq(int, load(b), 0), "%s", b->err.text);
	cr_assert(eq(int, kvm_open(&kvm, &b->err), 0), "%s", b->err.text);
	cr_assert(eq(int, arch_vm_init(&kvm, &b->err), 0), "%s", b->err.text);
	cr_assert(
		eq(int, kvm_set_memory(&kvm, 0, 0, MIB(64), b->mem.range[0].host, 0, &b->err), 0));
	cr_assert(eq(int, kvm_vcpu_open(&kvm, 0, &vcpu, &b->err), 0), "%s", b->err.text);
	cr_assert(eq(int, arch_cpu_create(&kvm, "", &cpu, &chosen, &b->err), 0), "%s", b->err.text);
	cr_assert(eq(int, arch_vcpu_init(&kvm, &vcpu, cpu, 1, &b->err), 0), "%s", b->err.text);
	cr_assert(eq(int, arch_boot_vcpu(&vcpu, &b->entry, &b->err), 0), "%s", b->err.text);
	cr_assert(eq(int, kvm_vcpu_run(&vcpu), 0));
	cr_assert(eq(u32, vcpu.run->exit_reason, KVM_EXIT_IO));
	memcpy(&wrote, (uint8_t *)vcpu.run + vcpu.run->io.data_offset, sizeof(wrote));
	arch_cpu_free(cpu);
	kvm_vcpu_close(&vcpu);
	kvm_close(&kvm);
	return wrote;
}

static bool no_kvm(void)
{
	if (access("/dev/kvm", R_OK | W_OK) == 0)
		return false;
	cr_skip("no usable /dev/kvm");
	return true;
}

Test(boot, bzimage_starts_in_long_mode_with_its_parameters)
{
	/* add rax, rsi (REX.W: only 64-bit code) · mov edx, 0xf4 · out dx, eax · hlt */
	static const uint8_t code[] = {0x31, 0xc0, 0x48, 0x01, 0xf0, 0xba,
				       0xf4, 0,	   0,	 0,    0xef, 0xf4};
	struct boot b = {0};

	if (no_kvm())
		return;
	make_bzimage(&b);
	memcpy(b.file + SETUP + 0x200, code, sizeof(code));
	open_guest(&b, MIB(64));
	cr_assert(eq(u32, run_to_port(&b), BOOT_PARAMS));
	close_guest(&b);
}

Test(boot, elf_starts_in_protected_mode_with_its_start_info)
{
	/* inc eax (in 64-bit mode a prefix) · dec eax · mov eax, [ebx] · mov edx, 0xf4 · out ·
	 * hlt */
	static const uint8_t code[] = {0x40, 0x48, 0x8b, 0x03, 0xba, 0xf4, 0, 0, 0, 0xef, 0xf4};
	struct boot b = {0};

	if (no_kvm())
		return;
	make_elf(&b);
	memcpy(b.file + ELF_CODE + 0x10, code, sizeof(code));
	open_guest(&b, MIB(64));
	cr_assert(eq(u32, run_to_port(&b), 0x336ec578));
	close_guest(&b);

	b = (struct boot){0};
	make_elf32(&b);
	memcpy(b.file + ELF_CODE + 0x10, code, sizeof(code));
	open_guest(&b, MIB(64));
	cr_assert(eq(u32, run_to_port(&b), 0x336ec578));
	close_guest(&b);
}
