/*
 * What opens encrypted appliances: lock keys, and the passphrase and key file that they come from.
 *
 *     keyring_new → keyring_passphrase | keyring_key_file | keyring_asks → keyring_open …
 *     … → keyring_new_lock → keyring_encrypt → … → keyring_free
 *
 * A lock key that has opened something is kept, and with it the next file of the same lock opens
 * without the passphrase; keyring_lock_keys() lets go of all but these. New files are locked with
 * the last one that was made or taken; if none was, with the first that opened a file. One thread
 * at a time.
 *
 * Functions with an `err` return 0 or -errno with *err set: -ENOMEM; -ENOSYS when libcrypto cannot
 * be loaded; the errno of getentropy(3); and what is said below, -EINVAL with a kind. ERR_FAILED is
 * also that libcrypto failed, or had too little memory to derive a key from a passphrase. The
 * others cannot fail.
 */
#ifndef TORPOR_FORMAT_CRYPTO_KEYRING_H
#define TORPOR_FORMAT_CRYPTO_KEYRING_H

#include "format/crypto/encryption.h"

#define KEYRING_MIN_FILE   32u /* bytes of a key file: random ones, it is not stretched */
#define KEYRING_MAX_FILE   4096u
#define KEYRING_PASSPHRASE 1023u

struct keyring;

#define cleanup_keyring __attribute__((cleanup(keyring_cleanup)))

/* Returns 0 or -ENOMEM. */
int keyring_new(struct keyring **out, struct err *err);
void keyring_free(struct keyring *k);

static inline void keyring_cleanup(struct keyring **k)
{
	keyring_free(*k);
}

/* Copied. Both return 0, or -EINVAL with ERR_USAGE when it is too short or too long. */
int keyring_passphrase(struct keyring *k, const void *text, size_t len, struct err *err);
int keyring_key_file(struct keyring *k, const void *data, size_t len, struct err *err);
/* `ask` is called for the passphrase of `what` once one is needed and none is there. It calls
 * keyring_passphrase(); its errors are passed on. */
void keyring_asks(struct keyring *k,
		  int (*ask)(void *opaque, struct keyring *k, const char *what, struct err *err),
		  void *opaque);

/* The data key of the appliance in file `what`, whose config has these bytes; the caller's to free.
 * ERR_USAGE: no passphrase or key file is there; ERR_FAILED: it is the wrong one; ERR_INTEGRITY: it
 * is the right one, and the config was changed. *key is NULL after an error. */
int keyring_open(struct keyring *k, const struct encryption *e, const void *config, size_t len,
		 const char *what, struct data_key **key, struct err *err);

/* Make a lock of the passphrase or the key file there is, for new files. ERR_USAGE when there is
 * none. */
int keyring_new_lock(struct keyring *k, enum encryption_kind kind, struct err *err);
/* Is there one for new files? NULL is fine: no. */
bool keyring_locks(const struct keyring *k);
/* A new data key, and `e` but for its tag. There is a lock for new files (assert). */
int keyring_encrypt(const struct keyring *k, struct encryption *e, struct data_key **key,
		    struct err *err);
/* The tag, once the rest of the config is known. ERR_INTEGRITY: that is no JSON. */
int keyring_tag(const struct data_key *key, const void *config, size_t len, struct encryption *e,
		struct err *err);

/* The lock for new files, from one process to another. keyring_give() needs one (assert). */
void keyring_give(const struct keyring *k, struct encryption_lock *lock, uint8_t key[CIPHER_KEY]);
void keyring_take(struct keyring *k, const struct encryption_lock *lock,
		  const uint8_t key[CIPHER_KEY]);

/* Forget passphrase, key file and `ask`, and lock the memory again: a child of the process that
 * made the keyring may call this. */
void keyring_lock_keys(struct keyring *k);

#endif
