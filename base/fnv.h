/* FNV-1a (Fowler, Noll, Vo), 32 bits: a hash that is the same on every host and in every version.
 * Not for keys that an attacker chooses. */
#ifndef TORPOR_BASE_FNV_H
#define TORPOR_BASE_FNV_H

#include <stddef.h>
#include <stdint.h>

static inline uint32_t fnv1a(const void *data, size_t len)
{
	const uint8_t *byte = data;
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ byte[i]) * 16777619u;
	return hash;
}

#endif
