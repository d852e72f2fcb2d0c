/*
 * Sets of 64 KiB frames: one bit a frame, in words of 64. Plain memory, from calloc; the maker owns
 * it and frees it with free(). Only frameset_new() can fail.
 */
#ifndef TORPOR_VMM_FRAMESET_H
#define TORPOR_VMM_FRAMESET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An empty set with room for `frames`; NULL without memory. */
uint64_t *frameset_new(uint64_t frames);
size_t frameset_bytes(uint64_t frames);

static inline bool frameset_has(const uint64_t *set, uint64_t frame)
{
	return (set[frame / 64] >> (frame % 64) & 1) != 0;
}

/* Add one frame, or first … last. Several threads may add at once: each bit is set atomically. */
void frameset_add(uint64_t *set, uint64_t frame);
void frameset_add_range(uint64_t *set, uint64_t first, uint64_t last);

/* Add every frame below `frames` that has a bit set in `pages`, a bitmap of as many times
 * `pages_per_frame` pages; that is a power of two up to 64. */
void frameset_add_pages(uint64_t *set, uint64_t frames, const uint64_t *pages,
			unsigned pages_per_frame);
/* Add the frames of another set of the same size. */
void frameset_add_set(uint64_t *set, uint64_t frames, const uint64_t *other);

#endif
