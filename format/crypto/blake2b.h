/*
 * BLAKE2b without a key (RFC 7693), of any length: libcrypto 3.0 has the 64-byte one alone, and the
 * checksum in a minisign key is of 32. For small data: all at once. Pure; any thread; cannot fail.
 */
#ifndef TORPOR_FORMAT_CRYPTO_BLAKE2B_H
#define TORPOR_FORMAT_CRYPTO_BLAKE2B_H

#include <stddef.h>
#include <stdint.h>

#define BLAKE2B_MAX 64u

/* `out_len` is 1 to BLAKE2B_MAX. */
void blake2b(void *out, size_t out_len, const void *data, size_t len);

#endif
