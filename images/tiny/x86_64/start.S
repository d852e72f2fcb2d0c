/*
 * Entry points. PVH (Xen ABI "x86/HVM direct boot") starts us in flat 32-bit mode without paging,
 * %ebx = hvm_start_info; we switch to 64-bit mode. The page tables are data of the ELF file, because
 * filling them costs milliseconds where guests are interpreted. Application processors enter by a
 * SIPI at ap_start16, which x86_64/cpu.c copies to AP_PAGE.
 */
#include "images/tiny/x86_64/layout.h"

#define PTE_TABLE 0x03 /* present, writable */
#define PTE_LARGE 0x83 /* present, writable, page size */

	.section .note.Xen, "a", @note
	.balign 4
	.long 4, 8, 18 /* name and descriptor sizes; XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.quad start32

	.text
	.code32
	.globl start32
start32:
	cli
	cld
	movl %ebx, boot_info
	movl $boot64, %edi

/* 32-bit flat mode, no stack yet: goes to 64-bit mode and on to the address in %edi. */
enter64:
	lgdt gdt_pointer
	movl $PDPT_2M_ENTRY, %esi
	movl $0x80000001, %eax
	cpuid
	btl $26, %edx /* pdpe1gb */
	jnc 1f
	movl $PDPT_1G_ENTRY, %esi
1:	movl %esi, pml4
	movl $pml4, %eax
	movl %eax, %cr3
	movl %cr4, %eax
	orl $0x20, %eax /* PAE */
	movl %eax, %cr4
	movl $0xc0000080, %ecx /* EFER */
	rdmsr
	orl $0x100, %eax /* LME */
	wrmsr
	movl %cr0, %eax
	orl $0x80000001, %eax /* PG, PE */
	movl %eax, %cr0
	ljmp $SEL_CODE64, $start64

	.code64
start64:
	movl $SEL_DATA, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movl %edi, %edi /* the upper half is undefined after the switch */
	jmp *%rdi

boot64:
	movl $boot_stack_end, %esp
	movl boot_info, %edi
	call arch_main
1:	jmp 1b

ap64:
	movl $1, %edi
	lock xaddl %edi, ap_count /* number of this processor: 0, 1, ... */
	cmpl $AP_MAX, %edi
	jae 1f
	leal 1(%rdi), %eax
	imull $AP_STACK, %eax, %eax
	leal ap_stacks(%rax), %esp
	call ap_main
1:	jmp 1b

/*
 * int msr_read(uint32_t msr, uint64_t *value): 0, or -1 when the access raised #GP. There is no
 * iret where guests are interpreted, so the handler unwinds to the caller instead of returning.
 */
	.globl msr_read, msr_fault
msr_read:
	movl %esp, msr_stack
	movl %edi, %ecx
	rdmsr
	movl %eax, (%rsi)
	movl %edx, 4(%rsi)
	xorl %eax, %eax
	ret
msr_fault:
	movl msr_stack, %esp
	movl $-1, %eax
	ret

	.code16
	.globl ap_start16, ap_start16_end
ap_start16: /* at AP_PAGE:0, %cs = AP_PAGE >> 4 */
	cli
	cld
	movw %cs, %ax
	movw %ax, %ds
	lgdtl ap_gdt_pointer - ap_start16
	movl %cr0, %eax
	orb $1, %al
	movl %eax, %cr0
	ljmpl $SEL_CODE32, $ap32
	.balign 4
ap_gdt_pointer:
	.word gdt_end - gdt - 1
	.long gdt
ap_start16_end:

	.code32
ap32:
	movl $SEL_DATA, %eax
	movl %eax, %ds
	movl $ap64, %edi
	jmp enter64

	.data
	.balign 8
gdt:
	.quad 0
	.quad 0x00af9b000000ffff /* SEL_CODE64 */
	.quad 0x00cf93000000ffff /* SEL_DATA */
	.quad 0x00cf9b000000ffff /* SEL_CODE32 */
gdt_end:
gdt_pointer:
	.word gdt_end - gdt - 1
	.long gdt

	.section .tables, "aw", @progbits
	.balign 4096
pml4: /* the first entry is written by enter64 */
	.fill 512, 8, 0
pdpt_1g: /* 512 GiB */
	.set page, 0
	.rept 512
	.quad page + PTE_LARGE
	.set page, page + (1 << 30)
	.endr
	.globl pdpt_2m
pdpt_2m: /* 4 GiB; boot.c adds what RAM there is above */
	.quad pd_2m + PTE_TABLE, pd_2m + 0x1000 + PTE_TABLE
	.quad pd_2m + 0x2000 + PTE_TABLE, pd_2m + 0x3000 + PTE_TABLE
	.fill 508, 8, 0
pd_2m:
	.set page, 0
	.rept 2048
	.quad page + PTE_LARGE
	.set page, page + (1 << 21)
	.endr
	.set PDPT_1G_ENTRY, pdpt_1g + PTE_TABLE
	.set PDPT_2M_ENTRY, pdpt_2m + PTE_TABLE

	.bss
	.balign 16
	.skip BOOT_STACK
boot_stack_end:
ap_stacks:
	.skip AP_MAX * AP_STACK
boot_info:
	.long 0
msr_stack:
	.long 0

	.section .note.GNU-stack, "", @progbits
