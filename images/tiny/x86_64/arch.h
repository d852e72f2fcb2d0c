/* What x86-64 is to the tiny kernel. Only instructions are used that KVM's own instruction emulator knows
 * (no SSE, fences, rdrand, iret). */
#ifndef TINY_X86_64_ARCH_H
#define TINY_X86_64_ARCH_H

#include <stddef.h>
#include <stdint.h>

#define RAM_START   0ull
#define GENID_ADDR  0xff000ull
#define MMIO_BASE   0xd0000000 /* of the first virtio device */
#define SERIAL_PORT 0x3f8

static inline void outb(uint16_t port, uint8_t v)
{
	__asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static inline void outw(uint16_t port, uint16_t v)
{
	__asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline uint8_t uart_in(unsigned reg)
{
	return inb((uint16_t)(SERIAL_PORT + reg));
}

static inline void uart_out(unsigned reg, uint8_t v)
{
	outb((uint16_t)(SERIAL_PORT + reg), v);
}

/* Bytes to its data register, as one string instruction. */
static inline void uart_send(const char *s, size_t n)
{
	__asm__ volatile("rep outsb" : "+S"(s), "+c"(n) : "d"((uint16_t)SERIAL_PORT) : "memory");
}

static inline uint32_t mmio_read(uint64_t addr)
{
	uint32_t v;

	__asm__ volatile("movl (%1), %0" : "=r"(v) : "r"(addr) : "memory");
	return v;
}

static inline void mmio_write(uint64_t addr, uint32_t v)
{
	__asm__ volatile("movl %0, (%1)" : : "r"(v), "r"(addr) : "memory");
}

/* The time stamp counter. */
static inline uint64_t ticks(void)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (uint64_t)hi << 32 | lo;
}

/* Whoever waits: what a gap between two looks counts at most, and all of it. Nobody says how long a tick is. */
static inline uint64_t ticks_of_a_gap(void)
{
	return 10000000;
}

static inline uint64_t ticks_of_patience(void)
{
	return 30000000000;
}

/* A full barrier; the fence instructions are unknown to KVM's emulator. */
static inline void barrier(void)
{
	__asm__ volatile("lock addl $0, (%%rsp)" : : : "memory", "cc");
}

static inline void count_one(volatile uint64_t *counter)
{
	__asm__ volatile("lock incq %0" : "+m"(*counter) : : "cc");
}

static inline void copy_bytes(void *to, const void *from, size_t n)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
}

static inline void fill_bytes(void *to, int c, size_t n)
{
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(c) : "memory");
}

#endif
