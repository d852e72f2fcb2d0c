/* See blake2b.h. Names are those of RFC 7693 §3. */
#include "format/crypto/blake2b.h"

#include <stdbool.h>
#include <string.h>

#include "base/assert.h"
#include "base/num.h"

#define BLOCK  128u
#define ROUNDS 12u

/* §2.6 */
static const uint64_t iv[8] = {
	0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
	0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

/* §2.7; rounds 10 and 11 are the first two again. */
static const uint8_t sigma[10][16] = {
	{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
	{14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
	{11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
	{7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
	{9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
	{2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
	{12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
	{13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
	{6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
	{10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

/* Columns, then diagonals of the 4 × 4 matrix (§3.2). */
static const uint8_t quads[8][4] = {
	{0, 4, 8, 12},	{1, 5, 9, 13},	{2, 6, 10, 14}, {3, 7, 11, 15},
	{0, 5, 10, 15}, {1, 6, 11, 12}, {2, 7, 8, 13},	{3, 4, 9, 14},
};

static uint64_t rotate_right(uint64_t v, unsigned by)
{
	return v >> by | v << (64 - by);
}

/* G, §3.1 */
static void mix(uint64_t v[16], const uint8_t quad[4], uint64_t x, uint64_t y)
{
	uint64_t *a = &v[quad[0]], *b = &v[quad[1]], *c = &v[quad[2]], *d = &v[quad[3]];

	*a += *b + x;
	*d = rotate_right(*d ^ *a, 32);
	*c += *d;
	*b = rotate_right(*b ^ *c, 24);
	*a += *b + y;
	*d = rotate_right(*d ^ *a, 16);
	*c += *d;
	*b = rotate_right(*b ^ *c, 63);
}

/* F, §3.2; `count` is the number of bytes up to the end of this block. */
static void blake2b_compress(uint64_t h[8], const uint8_t block[BLOCK], uint64_t count, bool last)
{
	uint64_t v[16], m[16];

	memcpy(v, h, 8 * sizeof(h[0]));
	memcpy(v + 8, iv, sizeof(iv));
	v[12] ^= count;
	v[14] ^= last ? UINT64_MAX : 0;
	for (unsigned i = 0; i < 16; i++)
		m[i] = le_get64(block + 8 * i);
	for (unsigned round = 0; round < ROUNDS; round++) {
		const uint8_t *s = sigma[round % 10];

		for (unsigned i = 0; i < 8; i++)
			mix(v, quads[i], m[s[2 * i]], m[s[2 * i + 1]]);
	}
	for (unsigned i = 0; i < 8; i++)
		h[i] ^= v[i] ^ v[i + 8];
}

void blake2b(void *out, size_t out_len, const void *data, size_t len)
{
	const uint8_t *in = data;
	uint8_t block[BLOCK] = {0}, digest[BLAKE2B_MAX];
	uint64_t h[8];
	size_t at = 0;

	assert(out_len > 0 && out_len <= BLAKE2B_MAX);
	memcpy(h, iv, sizeof(iv));
	h[0] ^= 0x01010000 ^ out_len;
	/* The last block, full or not, is marked as such. */
	for (; len - at > BLOCK; at += BLOCK)
		blake2b_compress(h, in + at, at + BLOCK, false);
	if (len > at)
		memcpy(block, in + at, len - at);
	blake2b_compress(h, block, len, true);
	for (unsigned i = 0; i < 8; i++)
		le_put64(digest + 8 * i, h[i]);
	memcpy(out, digest, out_len);
}
