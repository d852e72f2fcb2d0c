/*
 * The boot vCPU's registers, page tables and segments for the two entry states: long mode with
 * identity pages (Linux 64-bit boot protocol) and flat 32-bit protected mode without paging (PVH).
 */
#include <string.h>

#include "base/num.h"
#include "vmm/x86_64/boot.h"

#define CR0_PE	 0x1u
#define CR0_ET	 0x10u
#define CR0_PG	 0x80000000u
#define CR4_PAE	 0x20u
#define EFER_LME 0x100u
#define EFER_LMA 0x400u
#define RFLAGS	 0x2u /* bit 1 is always set (Intel SDM vol. 1 §3.4.3) */

#define PTE_PRESENT 0x1u
#define PTE_WRITE   0x2u
#define PTE_LARGE   0x80u
#define PAGE	    4096u
#define TABLE_SIZE  512u
#define MAPPED_GIB  4u

/* Selectors of the boot protocol: __BOOT_CS 0x10, __BOOT_DS 0x18 (boot.rst). */
#define SEL_CODE 0x10u
#define SEL_DATA 0x18u
#define SEL_TSS	 0x20u

/* Flags 0xc093 etc. in the layout of a descriptor's upper word (Intel SDM vol. 3 §3.4.5). */
static uint64_t descriptor(uint16_t flags, uint32_t base, uint32_t limit)
{
	return (uint64_t)(base & 0xff000000) << 32 | (uint64_t)(flags & 0xf0ff) << 40 |
	       (uint64_t)(limit & 0x000f0000) << 32 | (uint64_t)(base & 0x00ffffff) << 16 |
	       (limit & 0xffff);
}

static struct kvm_segment segment(uint16_t selector, uint8_t type, bool system, bool long_mode)
{
	return (struct kvm_segment){
		.base = 0,
		.limit = system ? 0x67 : 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.db = !system && !long_mode,
		.s = !system,
		.l = long_mode,
		.g = !system,
	};
}

/* One PML4 entry, one PDPT, MAPPED_GIB directories of 2 MiB pages. */
static bool write_page_tables(struct mem *mem)
{
	uint64_t *tables = mem_at_write(mem, BOOT_PAGE_TABLES, (2 + MAPPED_GIB) * PAGE);
	uint64_t *pdpt, *pd;

	if (tables == NULL)
		return false;
	pdpt = tables + TABLE_SIZE;
	pd = tables + 2 * TABLE_SIZE;
	memset(tables, 0, 2 * PAGE);
	tables[0] = (BOOT_PAGE_TABLES + PAGE) | PTE_PRESENT | PTE_WRITE;
	for (uint64_t i = 0; i < MAPPED_GIB; i++)
		pdpt[i] = (BOOT_PAGE_TABLES + (2 + i) * PAGE) | PTE_PRESENT | PTE_WRITE;
	for (uint64_t i = 0; i < (uint64_t)MAPPED_GIB * TABLE_SIZE; i++)
		pd[i] = i << 21 | PTE_PRESENT | PTE_WRITE | PTE_LARGE;
	return true;
}

static bool write_gdt(struct mem *mem, bool long_mode)
{
	const uint64_t gdt[] = {
		0,
		0,
		descriptor(long_mode ? 0xa09b : 0xc09b, 0, 0xfffff),
		descriptor(0xc093, 0, 0xfffff),
		descriptor(0x008b, 0, 0x67),
	};

	return mem_write(mem, BOOT_GDT, gdt, sizeof(gdt));
}

int boot_write_cpu_tables(struct mem *mem, bool long_mode, struct err *err)
{
	if (!write_gdt(mem, long_mode) || (long_mode && !write_page_tables(mem)))
		return err_set(err, ERR_FAILED, "page tables do not fit into memory");
	return 0;
}

int arch_boot_vcpu(struct kvm_vcpu *vcpu, const struct boot_entry *entry, struct err *err)
{
	struct kvm_regs regs = {.rip = entry->entry, .rflags = RFLAGS};
	struct kvm_sregs sregs = {0};
	struct kvm_segment data = segment(SEL_DATA, 0x3, false, false);
	int ret = kvm_vcpu_call(vcpu, KVM_GET_SREGS, &sregs, err);

	if (ret < 0)
		return ret;
	sregs.cs = segment(SEL_CODE, 0xb, false, entry->long_mode);
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.tr = segment(SEL_TSS, 0xb, true, false);
	sregs.gdt = (struct kvm_dtable){.base = BOOT_GDT, .limit = 5 * 8 - 1};
	sregs.idt = (struct kvm_dtable){0};
	sregs.cr0 = CR0_PE | CR0_ET;
	if (entry->long_mode) {
		sregs.cr0 |= CR0_PG;
		sregs.cr3 = BOOT_PAGE_TABLES;
		sregs.cr4 = CR4_PAE;
		sregs.efer = EFER_LME | EFER_LMA;
		regs.rsi = entry->params;
	} else {
		regs.rbx = entry->params;
	}
	ret = kvm_vcpu_call(vcpu, KVM_SET_SREGS, &sregs, err);
	if (ret < 0)
		return err_context(err, ret, "set the boot vCPU's registers");
	ret = kvm_vcpu_call(vcpu, KVM_SET_REGS, &regs, err);
	return ret < 0 ? err_context(err, ret, "set the boot vCPU's registers") : 0;
}
