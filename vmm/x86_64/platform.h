/*
 * The addresses of machine type torpor-1 on x86-64. A guest can see every number here: none changes
 * without a new machine type.
 */
#ifndef TORPOR_VMM_X86_64_PLATFORM_H
#define TORPOR_VMM_X86_64_PLATFORM_H

#include <stdint.h>

#define X86_RAM_LOW_END	   0xc0000000u /* RAM below; more RAM continues at 4 GiB */
#define X86_RAM_HIGH_START 0x100000000ull

/* Legacy hole: RAM to KVM, reserved to the guest. */
#define X86_HOLE_START	 0xa0000u
#define X86_HOLE_END	 0x100000u
#define X86_ACPI_START	 0xe0000u /* RSDP first: it is searched from here (ACPI 6.5 §5.2.5.1) */
#define X86_ACPI_END	 0xff000u
#define X86_VMGENID_ADDR 0xff000u /* 16 bytes; the page is reserved */

/* Outside RAM and devices: three pages for Intel's real mode (KVM API 4.30) and one (4.101). */
#define X86_TSS_ADDR	  0xfffbd000u
#define X86_IDENTITY_ADDR 0xfffbc000u

#define X86_IOAPIC_ADDR 0xfec00000u
#define X86_LAPIC_ADDR	0xfee00000u

/* virtio-mmio transport slots */
#define X86_VIRTIO_BASE	  0xd0000000u
#define X86_VIRTIO_STRIDE 0x1000u
#define X86_VIRTIO_SIZE	  0x200u
#define X86_VIRTIO_SLOTS  16u

/* GSIs beyond the ISA lines first; none is shared. */
static const uint8_t x86_virtio_gsi[X86_VIRTIO_SLOTS] = {16, 17, 18, 19, 20, 21, 22, 23,
							 5,  6,	 7,  10, 11, 12, 14, 15};

/* Ports and their lines */
#define X86_COM1_PORT	0x3f8u
#define X86_COM1_GSI	4u
#define X86_CMOS_PORT	0x70u
#define X86_I8042_DATA	0x60u
#define X86_I8042_CMD	0x64u
#define X86_I8042_RESET 0xfeu
#define X86_PM1A_EVT	0x600u /* status, enable: 2 bytes each (ACPI 6.5 §4.8.3.1) */
#define X86_PM1A_CNT	0x604u /* 2 bytes (§4.8.3.2) */
#define X86_GPE0	0x608u /* status, enable: 1 byte each (§4.8.4.1) */
#define X86_PM_TMR	0x60cu /* 4 bytes: 32-bit counter (§4.8.3.3) */
#define X86_SCI_GSI	9u
#define X86_SLP_TYP_S5	5u
#define X86_GPE_VMGENID 0u /* bit in GPE0, method _E00 */

#endif
