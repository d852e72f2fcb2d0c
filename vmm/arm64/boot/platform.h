/*
 * The addresses and interrupts of machine type torpor-1 on arm64. A guest can see every number here:
 * none changes without a new machine type.
 */
#ifndef TORPOR_VMM_ARM64_BOOT_PLATFORM_H
#define TORPOR_VMM_ARM64_BOOT_PLATFORM_H

#include <stdint.h>

/* Devices lie below 1 GiB; RAM begins there, in one piece. */
#define ARM64_GIC_DIST_ADDR    0x08000000u
#define ARM64_GIC_DIST_SIZE    0x10000u
#define ARM64_GICV2_DIST_SIZE  0x1000u
#define ARM64_GICV2_CPU_ADDR   0x08010000u
#define ARM64_GICV2_CPU_SIZE   0x2000u
#define ARM64_GICV2_VCPUS      8u
#define ARM64_GIC_REDIST_ADDR  0x080a0000u
#define ARM64_GIC_REDIST_SIZE  0x20000u /* of each vCPU: the RD and the SGI frame */
#define ARM64_GIC_REDIST_VCPUS 64u	/* as many as the region has room for */
#define ARM64_SERIAL_ADDR      0x09000000u
#define ARM64_RTC_ADDR	       0x09010000u
#define ARM64_GPIO_ADDR	       0x09020000u
#define ARM64_DEVICE_SIZE      0x1000u

/* virtio-mmio transport slots */
#define ARM64_VIRTIO_BASE   0x0a000000u
#define ARM64_VIRTIO_STRIDE 0x1000u
#define ARM64_VIRTIO_SIZE   0x200u
#define ARM64_VIRTIO_SLOTS  16u

#define ARM64_RAM_START 0x40000000u

/* The first 64 KiB of RAM are reserved to the machine: the guest's kernel is told to leave them. */
#define ARM64_RESERVED_ADDR ARM64_RAM_START
#define ARM64_RESERVED_SIZE 0x10000u
#define ARM64_VMGENID_ADDR  (ARM64_RAM_START + 0x1000u) /* 16 bytes */
#define ARM64_VMGENID_SIZE  0x1000u

/* Shared peripheral interrupts (SPI n is INTID 32 + n); none is shared. A machine's GSI is the SPI. */
#define ARM64_SERIAL_SPI  1u
#define ARM64_GPIO_SPI	  3u
#define ARM64_VMGENID_SPI 4u
#define ARM64_VIRTIO_SPI  16u /* of slot 0; the others follow */
#define ARM64_SPIS	  32u
#define ARM64_FIRST_SPI	  32u /* INTID of SPI 0 */

/* Private peripheral interrupts of the timers and the PMU (PPI n is INTID 16 + n; Server Base System
 * Architecture §3.6) */
#define ARM64_TIMER_SECURE_PPI 13u
#define ARM64_TIMER_PHYS_PPI   14u
#define ARM64_TIMER_VIRT_PPI   11u
#define ARM64_TIMER_HYP_PPI    10u
#define ARM64_PMU_PPI	       7u
#define ARM64_FIRST_PPI	       16u /* INTID of PPI 0 */

/* The pin of the GPIO chip that the power key is at. */
#define ARM64_POWER_PIN 3u

/* The affinity of vCPU `id`, which is KVM's: 16 in a cluster, as SGIs of a GICv3 reach them. */
static inline uint64_t arm64_mpidr(uint32_t id)
{
	return (uint64_t)(id & 0xfu) | (uint64_t)(id >> 4 & 0xffu) << 8;
}

#endif
