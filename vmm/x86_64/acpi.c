/* The firmware tables; see acpi.h. Pure but for acpi_install. Section numbers are of ACPI 6.5. */
#include "vmm/x86_64/acpi.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "vmm/x86_64/aml.h"
#include "vmm/x86_64/boot.h"
#include "vmm/x86_64/platform.h"

#define HEADER_SIZE   36u
#define RSDP_SIZE     36u
#define FACS_SIZE     64u
#define FADT_SIZE     276u
#define TABLE_ALIGN   64u /* what the FACS wants (§5.2.10) suits all */
#define SPACE_IO      1u
#define NOTIFY_CHANGE 0x80u

/* FADT flags (§5.2.9, table 5.10). No power button device: the fixed one is used. */
#define FADT_WBINVD	   (1u << 0)
#define FADT_PROC_C1	   (1u << 2)
#define FADT_SLP_BUTTON	   (1u << 5) /* there is no sleep button */
#define FADT_FIX_RTC	   (1u << 6) /* the RTC has no wake status */
#define FADT_TMR_VAL_EXT   (1u << 8) /* the PM timer has 32 bits */
#define FADT_RESET_REG_SUP (1u << 10)

#define BOOT_ARCH_LEGACY  (1u << 0) /* ISA devices: the serial port */
#define BOOT_ARCH_NO_VGA  (1u << 2)
#define BOOT_ARCH_NO_ASPM (1u << 4)

static void checksum(uint8_t *table, size_t len, size_t at)
{
	uint8_t sum = 0;

	table[at] = 0;
	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + table[i]);
	table[at] = (uint8_t)-sum;
}

static void align_tables(struct buf *b)
{
	buf_add(b, NULL, align_up(b->len, TABLE_ALIGN) - b->len);
}

/* The common header (§5.2.6); returns where the table begins. */
static size_t open_table(struct buf *b, const char *signature, uint8_t revision)
{
	size_t start;

	align_tables(b);
	start = b->len;
	buf_add(b, signature, 4);
	buf_add_le32(b, 0);
	buf_add_u8(b, revision);
	buf_add_u8(b, 0);
	buf_add(b, "TORPOR", 6);
	buf_add(b, "TORPOR-1", 8);
	buf_add_le32(b, 1);
	buf_add(b, "TORP", 4);
	buf_add_le32(b, 1);
	return start;
}

static void close_table(struct buf *b, size_t start)
{
	if (buf_failed(b))
		return;
	le_put32(b->data + start + 4, (uint32_t)(b->len - start));
	checksum(b->data + start, b->len - start, 9);
}

static uint64_t address_of(size_t at)
{
	return X86_ACPI_START + at;
}

static void dsdt_add_virtio(struct buf *b, unsigned slot)
{
	struct aml_mark device, resources;
	uint64_t base;
	uint32_t gsi;
	char name[5];

	arch_virtio_slot(slot, &base, &gsi);
	snprintf(name, sizeof(name), "VR%02X", slot & 0xffu);
	device = aml_open_device(b, name);
	aml_name_string(b, "_HID", "LNRO0005");
	aml_name_int(b, "_UID", slot);
	aml_name_int(b, "_CCA", 1);
	resources = aml_open_resources(b);
	aml_memory32(b, (uint32_t)base, ARCH_VIRTIO_SIZE);
	aml_irq_edge(b, gsi);
	aml_close_resources(b, resources);
	aml_close(b, device);
}

/* The generation counter: "Virtual Machine Generation ID" (2012), as Linux' vmgenid driver reads
 * it. */
static void dsdt_add_vmgenid(struct buf *b)
{
	const uint32_t address[] = {X86_VMGENID_ADDR, 0};
	struct aml_mark device = aml_open_device(b, "VGEN"), method;

	aml_name_string(b, "_HID", "TORP0001");
	aml_name_string(b, "_CID", "VM_Gen_Counter");
	aml_name_string(b, "_DDN", "VM_Gen_Counter");
	method = aml_open_method(b, "ADDR");
	aml_return_package(b, address, 2);
	aml_close(b, method);
	aml_close(b, device);
}

static void dsdt_add_legacy(struct buf *b)
{
	struct aml_mark device, resources;

	device = aml_open_device(b, "COM1");
	aml_name_eisa(b, "_HID", "PNP0501");
	aml_name_int(b, "_UID", 1);
	resources = aml_open_resources(b);
	aml_io(b, X86_COM1_PORT, 8);
	aml_irq_edge(b, X86_COM1_GSI);
	aml_close_resources(b, resources);
	aml_close(b, device);

	device = aml_open_device(b, "RTC0");
	aml_name_eisa(b, "_HID", "PNP0B00");
	resources = aml_open_resources(b);
	aml_io(b, X86_CMOS_PORT, 2);
	aml_close_resources(b, resources);
	aml_close(b, device);
}

static size_t add_dsdt(struct buf *b, const struct board_info *board)
{
	const uint32_t s5[] = {X86_SLP_TYP_S5, X86_SLP_TYP_S5, 0, 0};
	size_t start = open_table(b, "DSDT", 2);
	struct aml_mark scope, method;

	scope = aml_open_scope(b, "\\_SB_");
	dsdt_add_legacy(b);
	dsdt_add_vmgenid(b);
	for (unsigned slot = 0; slot < ARCH_VIRTIO_SLOTS; slot++) {
		if (board->virtio_slots & 1u << slot)
			dsdt_add_virtio(b, slot);
	}
	aml_close(b, scope);
	scope = aml_open_scope(b, "\\_GPE");
	method = aml_open_method(b, "_E00"); /* edge event of GPE bit X86_GPE_VMGENID (§5.6.4.1) */
	aml_notify(b, "\\_SB_.VGEN", NOTIFY_CHANGE);
	aml_close(b, method);
	aml_close(b, scope);
	aml_name_package(b, "\\_S5_", s5, 4);
	close_table(b, start);
	return start;
}

/* Generic address structure (§5.2.3.2) for an I/O block. */
static void put_gas(uint8_t *p, uint8_t bits, uint8_t access, uint16_t port)
{
	p[0] = SPACE_IO;
	p[1] = bits;
	p[2] = 0;
	p[3] = access;
	le_put64(p + 4, port);
}

/* §5.2.9; offsets of table 5.9. */
static size_t add_fadt(struct buf *b, size_t facs, size_t dsdt)
{
	size_t start = open_table(b, "FACP", 6);
	uint8_t *t;

	buf_add(b, NULL, FADT_SIZE - HEADER_SIZE);
	if (buf_failed(b))
		return start;
	t = b->data + start;
	le_put32(t + 40, (uint32_t)address_of(dsdt));
	t[45] = 4; /* preferred profile: enterprise server */
	le_put16(t + 46, X86_SCI_GSI);
	le_put32(t + 56, X86_PM1A_EVT);
	le_put32(t + 64, X86_PM1A_CNT);
	le_put32(t + 76, X86_PM_TMR);
	le_put32(t + 80, X86_GPE0);
	t[88] = 4;		/* PM1 event length */
	t[89] = 2;		/* PM1 control length */
	t[91] = 4;		/* PM timer length */
	t[92] = 2;		/* GPE0 length */
	le_put16(t + 96, 101);	/* C2 and C3 latencies beyond the limits: */
	le_put16(t + 98, 1001); /* not supported */
	t[108] = 0x32;		/* CMOS century byte */
	le_put16(t + 109, BOOT_ARCH_LEGACY | BOOT_ARCH_NO_VGA | BOOT_ARCH_NO_ASPM);
	le_put32(t + 112, FADT_WBINVD | FADT_PROC_C1 | FADT_SLP_BUTTON | FADT_FIX_RTC |
				  FADT_TMR_VAL_EXT | FADT_RESET_REG_SUP);
	put_gas(t + 116, 8, 1, X86_I8042_CMD);
	t[128] = X86_I8042_RESET;
	t[131] = 5;			     /* minor version: 6.5 */
	le_put64(t + 132, address_of(facs)); /* the 32-bit field at 36 stays zero (§5.2.9) */

	le_put64(t + 140, address_of(dsdt));
	put_gas(t + 148, 32, 2, X86_PM1A_EVT);
	put_gas(t + 172, 16, 2, X86_PM1A_CNT);
	put_gas(t + 208, 32, 3, X86_PM_TMR);
	put_gas(t + 220, 16, 1, X86_GPE0);
	memcpy(t + 268, "TORPOR\0\0", 8);
	close_table(b, start);
	return start;
}

static size_t add_facs(struct buf *b)
{
	size_t start;
	uint8_t *t;

	align_tables(b);
	start = b->len;
	t = buf_add(b, NULL, FACS_SIZE);
	if (t != NULL) {
		memcpy(t, "FACS", 4);
		le_put32(t + 4, FACS_SIZE);
		t[32] = 2;
	}
	return start;
}

/* Interrupt source override (§5.2.12.5). */
static void add_override(struct buf *b, uint8_t source, uint32_t gsi, uint16_t flags)
{
	buf_add_u8(b, 2);
	buf_add_u8(b, 10);
	buf_add_u8(b, 0);
	buf_add_u8(b, source);
	buf_add_le32(b, gsi);
	buf_add_le16(b, flags);
}

/* §5.2.12: local APIC ids are the vCPUs' numbers. */
static size_t add_madt(struct buf *b, const struct board_info *board)
{
	size_t start = open_table(b, "APIC", 5);

	buf_add_le32(b, X86_LAPIC_ADDR);
	buf_add_le32(b, 1); /* PC-AT 8259s too */
	for (uint32_t i = 0; i < board->nvcpus; i++) {
		buf_add_u8(b, 0);
		buf_add_u8(b, 8);
		buf_add_u8(b, (uint8_t)i);
		buf_add_u8(b, (uint8_t)i);
		buf_add_le32(b, 1);
	}
	buf_add_u8(b, 1); /* I/O APIC (§5.2.12.3) */
	buf_add_u8(b, 12);
	buf_add_u8(b, 0);
	buf_add_u8(b, 0);
	buf_add_le32(b, X86_IOAPIC_ADDR);
	buf_add_le32(b, 0);
	/* None for the timer: KVM's own routing has IRQ 0 on pin 0, not on pin 2 as PCs do. */
	add_override(b, X86_SCI_GSI, X86_SCI_GSI, 0xd); /* level, active high */
	buf_add_u8(b, 4);				/* NMI on LINT1 of all (§5.2.12.7) */
	buf_add_u8(b, 6);
	buf_add_u8(b, 0xff);
	buf_add_le16(b, 0);
	buf_add_u8(b, 1);
	close_table(b, start);
	return start;
}

static size_t add_xsdt(struct buf *b, size_t fadt, size_t madt)
{
	size_t start = open_table(b, "XSDT", 1);

	buf_add_le64(b, address_of(fadt));
	buf_add_le64(b, address_of(madt));
	close_table(b, start);
	return start;
}

/* §5.2.5.3; two checksums: the first 20 bytes as ACPI 1.0 knew it, and all of it. */
static void put_rsdp(uint8_t *t, size_t xsdt)
{
	memcpy(t, "RSD PTR ", 8);
	memcpy(t + 9, "TORPOR", 6);
	t[15] = 2;
	le_put32(t + 20, RSDP_SIZE);
	le_put64(t + 24, address_of(xsdt));
	checksum(t, 20, 8);
	checksum(t, RSDP_SIZE, 32);
}

void acpi_build(const struct board_info *board, struct buf *out)
{
	size_t facs, dsdt, fadt, madt, xsdt;

	buf_add(out, NULL, RSDP_SIZE);
	facs = add_facs(out);
	dsdt = add_dsdt(out, board);
	fadt = add_fadt(out, facs, dsdt);
	madt = add_madt(out, board);
	xsdt = add_xsdt(out, fadt, madt);
	if (!buf_failed(out))
		put_rsdp(out->data, xsdt);
}

int acpi_install(struct mem *mem, const struct board_info *board, struct err *err)
{
	cleanup_buf struct buf tables = {0};

	acpi_build(board, &tables);
	if (buf_failed(&tables))
		return err_sys(err, ENOMEM, "build the ACPI tables");
	if (tables.len > X86_ACPI_END - X86_ACPI_START ||
	    !mem_write(mem, X86_ACPI_START, tables.data, tables.len))
		return err_set(err, ERR_FAILED, "ACPI tables do not fit into memory");
	return 0;
}
