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
 */
#ifndef TORPOR_FORMAT_CRYPTO_KEYRING_H
#define TORPOR_FORMAT_CRYPTO_KEYRING_H

#include "format/crypto/encryption.h"

#define KEYRING_MIN_FILE   32u /* bytes of a key file: random ones, it is not stretched */
#define KEYRING_MAX_FILE   4096u
#define KEYRING_PASSPHRASE 1023u

struct keyring;

#define cleanup_keyring __attribute__((cleanup(keyring_cleanup)))

int keyring_new(struct keyring **out, struct err *err);
void keyring_free(struct keyring *k);

static inline void keyring_cleanup(struct keyring **k)
{
	keyring_free(*k);
}

/* Copied. ERR_USAGE when it is too short or too long. */
int keyring_passphrase(struct keyring *k, const void *text, size_t len, struct err *err);
int keyring_key_file(struct keyring *k, const void *data, size_t len, struct err *err);
/* Who is asked for the passphrase of `what` once one is needed and none is there; calls
 * keyring_passphrase(). */
void keyring_asks(struct keyring *k,
		  int (*ask)(void *opaque, struct keyring *k, const char *what, struct err *err),
		  void *opaque);

/* The data key of the appliance in file `what`, whose config has these bytes; the caller's to free.
 * ERR_USAGE: what it takes is not here; ERR_FAILED: it is the wrong one; ERR_INTEGRITY: it is the
 * right one, and somebody has changed the config. */
int keyring_open(struct keyring *k, const struct encryption *e, const void *config, size_t len,
		 const char *what, struct data_key **key, struct err *err);

/* Make a lock of the passphrase or the key file there is, for new files. */
int keyring_new_lock(struct keyring *k, enum encryption_kind kind, struct err *err);
/* Is there one for new files? */
bool keyring_locks(const struct keyring *k);
/* A new data key, and `e` but for its tag. */
int keyring_encrypt(const struct keyring *k, struct encryption *e, struct data_key **key,
		    struct err *err);
/* The tag, once the rest of the config is known. */
int keyring_tag(const struct data_key *key, const void *config, size_t len, struct encryption *e,
		struct err *err);

/* The lock for new files, from one process to another. */
void keyring_give(const struct keyring *k, struct encryption_lock *lock, uint8_t key[CIPHER_KEY]);
void keyring_take(struct keyring *k, const struct encryption_lock *lock,
		  const uint8_t key[CIPHER_KEY]);

/* Forget passphrase, key file and who is asked for one. The process may be another by now. */
void keyring_lock_keys(struct keyring *k);

#endif
