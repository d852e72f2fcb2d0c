/*
 * Entry points, and the vectors. Linux's boot protocol (Documentation/arch/arm64/booting) starts us in EL1
 * with the MMU off, x0 = the device tree; other processors enter at ap_entry, which PSCI's CPU_ON is told,
 * x0 = their number. All memory is mapped where it is: the first 1 GiB as a device's, the rest as memory, in
 * blocks of 1 GiB. With the MMU off accesses would not be coherent with what the VMM writes, and exclusive
 * ones need not work: nothing is stored before it is on.
 */
#include "images/tiny/arm64/layout.h"

#define BLOCK_DEVICE 0x0060000000000401 /* AF, index 0 of MAIR, no execution at EL1 and EL0 */
#define BLOCK_MEMORY 0x0000000000000705 /* AF, inner shareable, index 1 */
#define MAIR	     0xff04		/* 0: device, nGnRE; 1: memory, write-back */
#define TCR	     0x80803519 /* 39 bits of address, tables write-back and inner shareable, none for TTBR1 */
#define IPS_48_BITS  5	/* the most that pages of 4 KiB have without LPA2 */
#define SCTLR	     0x30d01805 /* RES1 bits, I, C, M (Arm ARM D17.2.118) */

	.section .head, "ax"
	.globl image_head
image_head: /* the header of an Image */
	b start
	.long 0
	.quad 0	     /* text_offset */
	.quad image_size
	.quad 0x0a   /* little-endian, pages of 4 KiB, anywhere in memory */
	.quad 0, 0, 0
	.ascii "ARM\x64"
	.long 0

start:
	mov x20, x0
	bl mmu_on
	ldr x1, =boot_stack_end
	mov sp, x1
	ldr x1, =bss_start
	ldr x2, =image_end
1:	cmp x1, x2
	b.hs 2f
	str xzr, [x1], #8
	b 1b
2:	mov x0, x20
	bl arch_main
3:	b 3b

	.globl ap_entry
ap_entry:
	mov x20, x0
	bl mmu_on
	ldr x1, =ap_stacks
	mov x2, #AP_STACK
	madd x1, x20, x2, x1 /* numbered from 1 on: the end of its stack */
	mov sp, x1
	ldr x1, =ap_count
4:	ldaxr w2, [x1]
	add w2, w2, #1
	stlxr w3, w2, [x1]
	cbnz w3, 4b
	bl ap_main
5:	b 5b

mmu_on:
	ldr x1, =vectors
	msr vbar_el1, x1
	ldr x1, =MAIR
	msr mair_el1, x1
	mrs x2, id_aa64mmfr0_el1
	and x2, x2, #0xf
	mov x1, #IPS_48_BITS
	cmp x2, x1
	csel x2, x2, x1, lo
	ldr x1, =TCR
	bfi x1, x2, #32, #3 /* physical addresses as large as the processor has them */
	msr tcr_el1, x1
	ldr x1, =page_table
	msr ttbr0_el1, x1
	dsb ish
	tlbi vmalle1
	ic iallu
	dsb ish
	isb
	ldr x1, =SCTLR
	msr sctlr_el1, x1
	isb
	ret
	.ltorg

/* Nothing is unmasked, so an exception is a mistake of ours: it is said, and the processor stops. */
	.text
	.balign 0x800
vectors:
	.rept 16
	.balign 0x80
	mrs x0, esr_el1
	mrs x1, elr_el1
	mrs x2, far_el1
	b arch_exception
	.endr

	.section .tables, "aw", @progbits
	.balign 4096
page_table: /* level 1 */
	.set page, 0
	.rept 512
	.if page == 0
	.quad page + BLOCK_DEVICE
	.else
	.quad page + BLOCK_MEMORY
	.endif
	.set page, page + (1 << 30)
	.endr

	.bss
	.balign 16
	.skip BOOT_STACK
boot_stack_end:
ap_stacks:
	.skip AP_MAX * AP_STACK

	.section .note.GNU-stack, "", @progbits
