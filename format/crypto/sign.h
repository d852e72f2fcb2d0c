/*
 * Ed25519 signatures in minisign's formats (minisign.h), by libcrypto, which the first call loads.
 *
 *     secret key    sign_key_new → (sign_key_lock) → minisign_secret_encode → a file
 *     signing       minisign_secret_decode → sign_key_unlock → sign_message
 *                   → minisign_signature_encode
 *     checking      minisign_signature_decode → sign_check, for a public key of the signature's id
 *
 * The caller wipes secret keys (sign_key_wipe) and passphrases. Any thread; no state.
 *
 * Functions with an `err` return 0 or -errno: -ENOSYS when libcrypto cannot be loaded, ERR_FAILED
 * when it or the kernel's random numbers fail, and what is said below. The others cannot fail.
 */
#ifndef TORPOR_FORMAT_CRYPTO_SIGN_H
#define TORPOR_FORMAT_CRYPTO_SIGN_H

#include "format/crypto/minisign.h"

/* How hard a passphrase is to try: 256 MiB and about a second each time (scrypt N = 2^18, r = 8,
 * p = 1), as libsodium states it. */
#define SIGN_OPSLIMIT (UINT64_C(1) << 23)
#define SIGN_MEMLIMIT (UINT64_C(1) << 28)

/* A new key pair with a random id, not locked. */
int sign_key_new(struct minisign_secret *key, struct err *err);
/* Lock with a passphrase, under key->opslimit and memlimit; 0: the defaults above. ERR_INTEGRITY:
 * limits above minisign's own (1 GiB); ERR_FAILED, too, without the memory for them. */
int sign_key_lock(struct minisign_secret *key, const char *passphrase, size_t len, struct err *err);
/* Open one that is locked. ERR_FAILED: the passphrase is wrong, or there is no memory for the
 * limits; ERR_INTEGRITY: limits above minisign's own, or the two halves of the key do not belong
 * together. One that is not locked is checked only, and `passphrase` is not looked at. */
int sign_key_unlock(struct minisign_secret *key, const char *passphrase, size_t len,
		    struct err *err);
void sign_key_wipe(struct minisign_secret *key);
/* The public half of a key that is not locked. */
void sign_key_public(const struct minisign_secret *key, struct minisign_public *public);

/* Sign, prehashed, with a key that is not locked. A comment that minisign_comment_ok() does not
 * like is ERR_USAGE. */
int sign_message(struct minisign_signature *sig, const struct minisign_secret *key,
		 const void *data, size_t len, const char *comment, struct err *err);

/* Are signature and trusted comment made with this key over this message? ERR_INTEGRITY if not. */
int sign_check(const struct minisign_signature *sig, const struct minisign_public *key,
	       const void *data, size_t len, struct err *err);

#endif
