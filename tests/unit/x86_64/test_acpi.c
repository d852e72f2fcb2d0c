/* The firmware tables: found from the RSDP as a guest does, checked, and read back by iasl. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "vmm/x86_64/acpi.h"
#include "vmm/x86_64/boot.h"
#include "vmm/x86_64/platform.h"

#define HEADER 36u

static const struct board_info small = {.nvcpus = 1, .virtio_slots = 0};
static const struct board_info usual = {.nvcpus = 2, .virtio_slots = 7};
static const struct board_info full = {.nvcpus = 255, .virtio_slots = 0xffff};
static const struct board_info *const boards[] = {&small, &usual, &full};

static uint8_t sum(const uint8_t *p, size_t len)
{
	uint8_t s = 0;

	while (len-- > 0)
		s = (uint8_t)(s + *p++);
	return s;
}

/* The table at a guest-physical address, with its length and checksum checked. */
static const uint8_t *table_at(const struct buf *b, uint64_t gpa, const char *signature)
{
	const uint8_t *t;

	cr_assert(gpa >= X86_ACPI_START && range_within(gpa - X86_ACPI_START, HEADER, b->len));
	t = b->data + (gpa - X86_ACPI_START);
	cr_assert(eq(int, memcmp(t, signature, 4), 0), "%s", signature);
	cr_assert(range_within(gpa - X86_ACPI_START, le_get32(t + 4), b->len), "%s", signature);
	if (strcmp(signature, "FACS") != 0)
		cr_assert(eq(u8, sum(t, le_get32(t + 4)), 0), "%s", signature);
	return t;
}

/* Every table of one board. */
struct tables {
	struct buf b;
	const uint8_t *xsdt, *fadt, *madt, *facs, *dsdt;
};

static void build(struct tables *t, const struct board_info *board)
{
	*t = (struct tables){0};
	acpi_build(board, &t->b);
	cr_assert(eq(int, buf_failed(&t->b), 0));
	cr_assert(eq(int, memcmp(t->b.data, "RSD PTR ", 8), 0));
	cr_assert(eq(u8, t->b.data[15], 2));
	cr_assert(eq(u8, sum(t->b.data, 20), 0));
	cr_assert(eq(u8, sum(t->b.data, 36), 0));
	t->xsdt = table_at(&t->b, le_get64(t->b.data + 24), "XSDT");
	cr_assert(eq(u32, le_get32(t->xsdt + 4), HEADER + 2 * 8));
	t->fadt = table_at(&t->b, le_get64(t->xsdt + HEADER), "FACP");
	t->madt = table_at(&t->b, le_get64(t->xsdt + HEADER + 8), "APIC");
	t->facs = table_at(&t->b, le_get64(t->fadt + 132), "FACS");
	t->dsdt = table_at(&t->b, le_get64(t->fadt + 140), "DSDT");
}

Test(acpi, every_table_is_reached_and_sums_to_zero)
{
	for (size_t i = 0; i < ARRAY_SIZE(boards); i++) {
		struct tables t;

		build(&t, boards[i]);
		cr_assert(t.b.len <= X86_ACPI_END - X86_ACPI_START);
		cr_assert(eq(u64, (uint64_t)(t.facs - t.b.data) % 64, 0));
		buf_free(&t.b);
	}
}

Test(acpi, fadt_tells_the_ports_of_the_platform)
{
	struct tables t;
	uint32_t flags;

	build(&t, &usual);
	flags = le_get32(t.fadt + 112);
	cr_assert(t.fadt[8] == 6 && le_get32(t.fadt + 4) == 276);
	cr_assert(eq(u16, le_get16(t.fadt + 46), X86_SCI_GSI));
	cr_assert(le_get32(t.fadt + 56) == X86_PM1A_EVT && t.fadt[88] == 4);
	cr_assert(le_get32(t.fadt + 64) == X86_PM1A_CNT && t.fadt[89] == 2);
	cr_assert(le_get32(t.fadt + 80) == X86_GPE0 && t.fadt[92] == 2);
	/* The 64-bit copies name the same ports. */
	cr_assert(eq(u64, le_get64(t.fadt + 148 + 4), X86_PM1A_EVT));
	cr_assert(eq(u64, le_get64(t.fadt + 172 + 4), X86_PM1A_CNT));
	cr_assert(eq(u64, le_get64(t.fadt + 220 + 4), X86_GPE0));
	cr_assert(eq(u64, le_get64(t.fadt + 208 + 4), X86_PM_TMR));
	/* A PM timer of 32 bits; reset by a port; a fixed power button (its flag is clear). */
	cr_assert(le_get32(t.fadt + 76) == X86_PM_TMR && t.fadt[91] == 4);
	cr_assert(eq(u32, flags & 1u << 8, 1u << 8));
	cr_assert(eq(u64, le_get64(t.fadt + 116 + 4), X86_I8042_CMD));
	cr_assert(eq(u8, t.fadt[128], X86_I8042_RESET));
	cr_assert(eq(u32, flags & 1u << 10, 1u << 10));
	cr_assert(eq(u32, flags & (1u << 4 | 1u << 20), 0));
	/* No keyboard controller to probe for. */
	cr_assert(eq(u16, le_get16(t.fadt + 109) & 2, 0));
	buf_free(&t.b);
}

Test(acpi, madt_has_one_entry_a_vcpu)
{
	for (size_t i = 0; i < ARRAY_SIZE(boards); i++) {
		struct tables t;
		uint32_t cpus = 0, ioapics = 0, sci = 0;

		build(&t, boards[i]);
		cr_assert(eq(u32, le_get32(t.madt + 36), X86_LAPIC_ADDR));
		for (uint32_t at = HEADER + 8; at < le_get32(t.madt + 4); at += t.madt[at + 1]) {
			const uint8_t *e = t.madt + at;

			cr_assert(e[1] >= 6);
			if (e[0] == 0) {
				cr_assert(eq(u32, e[3], cpus));
				cr_assert(eq(u32, le_get32(e + 4), 1));
				cpus++;
			} else if (e[0] == 1) {
				cr_assert(eq(u32, le_get32(e + 4), X86_IOAPIC_ADDR));
				ioapics++;
			} else if (e[0] == 2) {
				/* The SCI: level, active high. KVM routes the others one to one. */
				cr_assert(e[3] == X86_SCI_GSI && le_get32(e + 4) == X86_SCI_GSI);
				cr_assert(eq(u16, le_get16(e + 8), 0xd));
				sci++;
			}
		}
		cr_assert(cpus == boards[i]->nvcpus && ioapics == 1 && sci == 1);
		buf_free(&t.b);
	}
}

/* Occurrences of a string in the DSDT. */
static unsigned count(const struct tables *t, const char *text)
{
	const uint8_t *p = t->dsdt, *end = t->dsdt + le_get32(t->dsdt + 4);
	unsigned n = 0;

	while ((p = memmem(p, (size_t)(end - p), text, strlen(text))) != NULL) {
		n++;
		p++;
	}
	return n;
}

Test(acpi, only_populated_slots_are_devices)
{
	struct tables t;

	build(&t, &small);
	cr_assert(eq(u32, count(&t, "LNRO0005"), 0));
	buf_free(&t.b);
	build(&t, &usual);
	cr_assert(eq(u32, count(&t, "LNRO0005"), 3));
	cr_assert(count(&t, "VR02") == 1 && count(&t, "VR03") == 0);
	buf_free(&t.b);
	build(&t, &full);
	cr_assert(eq(u32, count(&t, "LNRO0005"), 16));
	cr_assert(count(&t, "VR0F") == 1);
	cr_assert(count(&t, "VM_Gen_Counter") == 2);
	buf_free(&t.b);
}

Test(acpi, tables_that_do_not_fit_are_refused)
{
	struct mem mem;
	struct err err = {0};
	struct board_info many = {.nvcpus = 100000};

	cr_assert(eq(int, mem_init(&mem, MIB(2), &err), 0));
	cr_assert(eq(int, acpi_install(&mem, &usual, &err), 0));
	cr_assert(eq(int, acpi_install(&mem, &full, &err), 0));
	cr_assert(acpi_install(&mem, &many, &err) < 0);
	cr_assert(strcmp(err.text, "ACPI tables do not fit into memory") == 0);
	/* The page of the generation counter is not touched. */
	cr_assert(eq(u64, le_get64(mem_at(&mem, X86_VMGENID_ADDR, 8)), 0));
	mem_free(&mem);
}

/* Run a command in `dir` and return what it printed; *status is how it ended. */
static void run_in(const char *dir, const char *command, int *status, char *text, size_t size)
{
	char line[512];
	size_t len;
	FILE *f;

	snprintf(line, sizeof(line), "cd %s && %s 2>&1", dir, command);
	f = popen(line, "r");
	cr_assert(ne(ptr, f, NULL));
	len = fread(text, 1, size - 1, f);
	text[len] = '\0';
	*status = pclose(f);
}

/* Disassemble the table, then compile what came out: neither may have a remark about it. */
static void expect_clean(const uint8_t *table)
{
	char dir[] = "/tmp/torpor-acpi-XXXXXX", path[64], text[16384];
	uint32_t len = le_get32(table + 4);
	int fd, status;

	cr_assert(ne(ptr, mkdtemp(dir), NULL));
	snprintf(path, sizeof(path), "%s/t.dat", dir);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	cr_assert(fd >= 0 && write(fd, table, len) == (ssize_t)len);
	close(fd);

	run_in(dir, "iasl -d t.dat", &status, text, sizeof(text));
	cr_assert(eq(int, status, 0), "%s", text);
	cr_assert(eq(ptr, strcasestr(text, "warning"), NULL), "%.4s: %s", table, text);
	cr_assert(eq(ptr, strcasestr(text, "error"), NULL), "%.4s: %s", table, text);
	run_in(dir, "iasl -we -p out t.dsl", &status, text, sizeof(text));
	cr_assert(eq(int, status, 0), "%s", text);
	cr_assert(ne(ptr, strstr(text, "0 Errors, 0 Warnings, 0 Remarks"), NULL), "%.4s: %s", table,
		  text);
	run_in(dir, "rm t.dat t.dsl out.aml && rmdir $PWD", &status, text, sizeof(text));
	cr_assert(eq(int, status, 0), "%s", text);
}

Test(acpi, iasl_reads_every_table_back)
{
	if (system("command -v iasl >/dev/null") != 0)
		cr_skip("iasl (acpica-tools) is not installed");
	for (size_t i = 0; i < ARRAY_SIZE(boards); i++) {
		struct tables t;

		build(&t, boards[i]);
		expect_clean(t.dsdt);
		expect_clean(t.fadt);
		expect_clean(t.madt);
		expect_clean(t.xsdt);
		expect_clean(t.facs);
		buf_free(&t.b);
	}
}
