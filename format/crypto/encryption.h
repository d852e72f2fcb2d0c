/*
 * What the config of an encrypted appliance says about that: how the key of its contents is
 * obtained.
 *
 * The contents are encrypted (cipher.h) with a data key, random and for this appliance alone; that
 * is in a box of the lock key, which comes from a passphrase (scrypt, RFC 7914) or from a key file
 * (keyring.h). An empty box of the data key, the tag, is bound to all else that the config says, so
 * that nobody without the key can change a word of it. Pure.
 *
 * Decoders return 0 or -EINVAL: ERR_INTEGRITY for a member that is missing, malformed or out of
 * bounds, ERR_INCOMPATIBLE for a cipher or key derivation of a newer torpor. Encoders return a new
 * reference, or NULL without memory.
 */
#ifndef TORPOR_FORMAT_CRYPTO_ENCRYPTION_H
#define TORPOR_FORMAT_CRYPTO_ENCRYPTION_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "format/crypto/cipher.h"

#define ENCRYPTION_SALT 32u

enum encryption_kind {
	ENCRYPTION_NONE, /* in clear; nothing below means anything */
	ENCRYPTION_PASSPHRASE,
	ENCRYPTION_KEY_FILE,
};

/* Where the lock key comes from. */
struct encryption_lock {
	enum encryption_kind kind;
	uint64_t n, r, p; /* of scrypt; passphrase only */
	uint8_t salt[ENCRYPTION_SALT];
};

struct encryption {
	struct encryption_lock lock;
	uint8_t key[CIPHER_BOX + CIPHER_KEY]; /* the data key, in a box of the lock key */
	uint8_t tag[CIPHER_BOX];	      /* an empty box of the data key */
};

/* As a new object: the config's member `encryption`. */
json_t *encryption_encode(const struct encryption *e);
/* Of the config; without that member it is in clear. */
int encryption_decode(struct encryption *e, json_t *config, bool newer, struct err *err);
/* The lock alone, as an object of its own. */
json_t *encryption_lock_encode(const struct encryption_lock *lock);
int encryption_lock_decode(struct encryption_lock *lock, json_t *object, struct err *err);
/* Append what the tag is bound to: the config without the tag, canonical. Returns 0, -EINVAL with
 * ERR_INTEGRITY when the config is no JSON, or -ENOMEM. */
int encryption_bound(const uint8_t *config, size_t len, struct buf *bound, struct err *err);

#endif
