/* Big-endian access to unaligned bytes, as protocols on the wire have it. */
#ifndef TORPOR_LAN_WIRE_H
#define TORPOR_LAN_WIRE_H

#include "vmm/base/num.h"

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
