/*
 * SHA-256, and its OCI spelling "sha256:…" (OCI image spec, descriptor, "Digests").
 *
 *     digest_new → (digest_add … digest_end)* → digest_free
 *
 * One thread a context. digest_new() and digest_bytes() return 0; -ENOSYS with ERR_FAILED when
 * libcrypto cannot be loaded, which the first call of a process does; or -ENOMEM. digest_end() and
 * digest_bytes() return -EINVAL with ERR_FAILED when libcrypto failed since the digest was begun.
 * The others cannot fail.
 */
#ifndef TORPOR_FORMAT_CRYPTO_DIGEST_H
#define TORPOR_FORMAT_CRYPTO_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define DIGEST_SIZE	 32u
#define DIGEST_TEXT_SIZE 72u /* "sha256:", 64 hex digits, NUL */

struct digest;

#define cleanup_digest __attribute__((cleanup(digest_cleanup)))

int digest_new(struct digest **out, struct err *err);
void digest_free(struct digest *d);
void digest_add(struct digest *d, const void *data, size_t len);
/* Give the digest of what was added and start over, also after an error. */
int digest_end(struct digest *d, uint8_t out[DIGEST_SIZE], struct err *err);

/* All at once. */
int digest_bytes(const void *data, size_t len, uint8_t out[DIGEST_SIZE], struct err *err);

void digest_text(const uint8_t digest[DIGEST_SIZE], char text[DIGEST_TEXT_SIZE]);
/* Accepts exactly what digest_text() gives. */
bool digest_parse(const char *text, uint8_t digest[DIGEST_SIZE]);

static inline void digest_cleanup(struct digest **d)
{
	digest_free(*d);
}

#endif
