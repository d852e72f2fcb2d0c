/* What arm64 is to the tiny kernel, in a machine of type torpor-1 (vmm/arm64/boot/platform.h). */
#ifndef TINY_ARM64_ARCH_H
#define TINY_ARM64_ARCH_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/arm64/boot/platform.h"

#define RAM_START  ((uint64_t)ARM64_RAM_START)
#define GENID_ADDR ((uint64_t)ARM64_VMGENID_ADDR)
#define MMIO_BASE  ARM64_VIRTIO_BASE

#define READ_SYSREG(name)                                                                          \
	({                                                                                         \
		uint64_t v_;                                                                       \
		__asm__ volatile("mrs %0, " #name : "=r"(v_) : : "memory");                        \
		v_;                                                                                \
	})
#define WRITE_SYSREG(name, value)                                                                  \
	__asm__ volatile("msr " #name ", %0" : : "r"((uint64_t)(value)) : "memory")

static inline void isb(void)
{
	__asm__ volatile("isb" : : : "memory");
}

/* An access that KVM can tell from its syndrome: one register, no write-back (Arm ARM D17.2.37, ISV). */
static inline uint8_t uart_in(unsigned reg)
{
	uint32_t v;

	__asm__ volatile("ldrb %w0, [%1]"
			 : "=r"(v)
			 : "r"((uint64_t)ARM64_SERIAL_ADDR + reg)
			 : "memory");
	return (uint8_t)v;
}

static inline void uart_out(unsigned reg, uint8_t v)
{
	__asm__ volatile("strb %w0, [%1]"
			 :
			 : "r"((uint32_t)v), "r"((uint64_t)ARM64_SERIAL_ADDR + reg)
			 : "memory");
}

static inline void uart_send(const char *s, size_t n)
{
	while (n--)
		uart_out(0, (uint8_t)*s++);
}

static inline uint32_t mmio_read(uint64_t addr)
{
	uint32_t v;

	__asm__ volatile("ldr %w0, [%1]" : "=r"(v) : "r"(addr) : "memory");
	return v;
}

static inline void mmio_write(uint64_t addr, uint32_t v)
{
	__asm__ volatile("str %w0, [%1]" : : "r"(v), "r"(addr) : "memory");
}

/* The virtual counter. */
static inline uint64_t ticks(void)
{
	isb();
	return READ_SYSREG(cntvct_el0);
}

/* Whoever waits: what a gap between two looks counts at most, and all of it. */
static inline uint64_t ticks_of_a_gap(void)
{
	return READ_SYSREG(cntfrq_el0) / 300;
}

static inline uint64_t ticks_of_patience(void)
{
	return READ_SYSREG(cntfrq_el0) * 10;
}

static inline void barrier(void)
{
	__asm__ volatile("dsb sy" : : : "memory");
}

static inline void count_one(volatile uint64_t *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_SEQ_CST);
}

static inline void copy_bytes(void *to, const void *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((uint8_t *)to)[i] = ((const uint8_t *)from)[i];
}

static inline void fill_bytes(void *to, int c, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((uint8_t *)to)[i] = (uint8_t)c;
}

#endif
