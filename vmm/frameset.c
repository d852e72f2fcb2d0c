/* Sets of frames; see frameset.h. No state of its own, no locks. */
#include "vmm/frameset.h"

#include <stdatomic.h>
#include <stdlib.h>

static size_t frameset_words(uint64_t frames)
{
	return (size_t)(frames / 64 + (frames % 64 != 0));
}

uint64_t *frameset_new(uint64_t frames)
{
	return calloc(frameset_words(frames) + 1, sizeof(uint64_t)); /* never of 0 bytes */
}

size_t frameset_bytes(uint64_t frames)
{
	return frameset_words(frames) * sizeof(uint64_t);
}

static void add_bits(uint64_t *word, uint64_t bits)
{
	_Atomic uint64_t *shared = (_Atomic uint64_t *)word;

	/* The same frame is added many times: looking first keeps the cache line shared. */
	if ((atomic_load_explicit(shared, memory_order_relaxed) & bits) != bits)
		atomic_fetch_or_explicit(shared, bits, memory_order_relaxed);
}

void frameset_add(uint64_t *set, uint64_t frame)
{
	add_bits(&set[frame / 64], UINT64_C(1) << (frame % 64));
}

void frameset_add_range(uint64_t *set, uint64_t first, uint64_t last)
{
	for (uint64_t i = first / 64; i <= last / 64; i++) {
		uint64_t bits = UINT64_MAX;

		if (i == first / 64)
			bits &= UINT64_MAX << (first % 64);
		if (i == last / 64)
			bits &= UINT64_MAX >> (63 - last % 64);
		add_bits(&set[i], bits);
	}
}

void frameset_add_pages(uint64_t *set, uint64_t frames, const uint64_t *pages,
			unsigned pages_per_frame)
{
	const uint64_t one_frame = UINT64_MAX >> (64 - pages_per_frame);

	/* In a pause: most words of a large machine's log are empty. */
	for (size_t i = 0; i < frameset_words(frames * pages_per_frame); i++) {
		for (uint64_t left = pages[i]; left != 0;) {
			const uint64_t page = i * 64 + (unsigned)__builtin_ctzll(left);
			const uint64_t frame = page / pages_per_frame;

			if (frame < frames)
				frameset_add(set, frame);
			left &= ~(one_frame << (frame * pages_per_frame % 64));
		}
	}
}

void frameset_add_set(uint64_t *set, uint64_t frames, const uint64_t *other)
{
	for (size_t i = 0; i < frameset_words(frames); i++)
		set[i] |= atomic_load_explicit((const _Atomic uint64_t *)&other[i],
					       memory_order_relaxed);
}
