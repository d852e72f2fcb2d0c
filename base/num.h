/* Checked arithmetic, alignment, access to unaligned bytes in either order, runs of zeros. */
#ifndef TORPOR_BASE_NUM_H
#define TORPOR_BASE_NUM_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

/* True when [start, start + len) does not wrap and lies within [0, limit). */
static inline bool range_within(uint64_t start, uint64_t len, uint64_t limit)
{
	return len <= limit && start <= limit - len;
}

static inline uint64_t u64_min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t u64_max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Round up to a power of two `align`; the caller has bounded `v` (no wrap check). */
static inline uint64_t align_up(uint64_t v, uint64_t align)
{
	return (v + align - 1) & ~(align - 1);
}

static inline uint64_t align_down(uint64_t v, uint64_t align)
{
	return v & ~(align - 1);
}

/* Bisect n > 0 structs, `stride` bytes apart, by a u64 member that ascends, of which `first` points
 * to the first: the index of the last that is not above `value`; 0 when all are. */
static inline size_t last_not_above(const uint64_t *first, size_t stride, size_t n, uint64_t value)
{
	size_t low = 0, high = n;

	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;
		uint64_t key;

		memcpy(&key, (const uint8_t *)first + mid * stride, sizeof(key));
		if (key <= value)
			low = mid;
		else
			high = mid;
	}
	return low;
}

static inline bool is_zero(const void *p, size_t len)
{
	const uint8_t *byte = p;

	return len == 0 || (byte[0] == 0 && memcmp(byte, byte + 1, len - 1) == 0);
}

static inline uint16_t le_get16(const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

static inline uint32_t le_get32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static inline uint64_t le_get64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

static inline void le_put16(void *p, uint16_t v)
{
	v = htole16(v);
	memcpy(p, &v, sizeof(v));
}

static inline void le_put32(void *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void le_put64(void *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, sizeof(v));
}

/* Big-endian, as protocols on the wire have it. */
static inline uint16_t be_get16(const void *p)
{
	return __builtin_bswap16(le_get16(p));
}

static inline uint32_t be_get32(const void *p)
{
	return __builtin_bswap32(le_get32(p));
}

static inline void be_put16(void *p, uint16_t v)
{
	le_put16(p, __builtin_bswap16(v));
}

static inline void be_put32(void *p, uint32_t v)
{
	le_put32(p, __builtin_bswap32(v));
}

#endif
