/*
 * Encrypted bytes: encrypted and authenticated with AES-256-GCM (NIST SP 800-38D).
 *
 * The unit is the box: a nonce of 12 random bytes, the ciphertext, a tag of 16 bytes. A key is used
 * for one appliance only, and far below 2^32 times, so random nonces do not repeat. A box does not
 * say what it holds, but can be opened in its place alone: which blob or image it belongs to, its
 * number there, and how long all of that is are authenticated with it.
 *
 * Frames are encrypted one by one, after they were packed, each in a skippable frame of zstd: an
 * encrypted part is still a file of that format, and its seek table says where each is. Other blobs
 * are cut into chunks of 64 KiB.
 *
 * All return 0 or -errno: -ENOSYS when libcrypto cannot be loaded, -ENOMEM, ERR_FAILED when
 * libcrypto or the random numbers of the kernel fail; decrypting gives ERR_INTEGRITY for other
 * bytes, another key or another place; what works on blobs also gives the errors of blob_read() and
 * write(2).
 */
#ifndef TORPOR_FORMAT_CRYPTO_CIPHER_H
#define TORPOR_FORMAT_CRYPTO_CIPHER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/buf.h"
#include "base/err.h"

#define CIPHER_KEY	  32u
#define CIPHER_NONCE	  12u
#define CIPHER_TAG	  16u
#define CIPHER_BOX	  (CIPHER_NONCE + CIPHER_TAG) /* what a box is longer than its contents */
#define CIPHER_FRAME	  (8u + CIPHER_BOX)	      /* what an encrypted frame is longer */
#define CIPHER_FRAME_DATA (8u + CIPHER_NONCE)	      /* where its contents begin */

/* In memory that secret_new() gave. */
struct data_key {
	uint8_t bytes[CIPHER_KEY];
};

/* One for each thread. */
struct cipher;

#define cleanup_cipher __attribute__((cleanup(cipher_cleanup)))

int cipher_new(struct cipher **out, struct err *err);
void cipher_free(struct cipher *s);

static inline void cipher_cleanup(struct cipher **s)
{
	cipher_free(*s);
}

/* A key of random bytes. Returns 0, -ENOMEM, or the errno of getentropy(3). */
int data_key_new(struct data_key **key, struct err *err);
void data_key_free(struct data_key *key);

#define cleanup_data_key __attribute__((cleanup(data_key_cleanup)))

static inline void data_key_cleanup(struct data_key **key)
{
	data_key_free(*key);
}

/* `box` has CIPHER_BOX bytes more than `plain`, which may be at box + CIPHER_NONCE; `bound` is
 * authenticated, and not in the box. */
int encrypt_box(struct cipher *s, const struct data_key *key, const void *bound, size_t bound_len,
		const void *plain, size_t len, uint8_t *box, struct err *err);
/* `len` is of the contents. ERR_INTEGRITY when it is not a box of this key and of `bound`; what is
 * in `plain` (which may be at box + CIPHER_NONCE) then means nothing. */
int decrypt_box(struct cipher *s, const struct data_key *key, const void *bound, size_t bound_len,
		const uint8_t *box, void *plain, size_t len, struct err *err);

/* In place: the `len` bytes of a packed frame are at encrypted + CIPHER_FRAME_DATA; CIPHER_FRAME
 * more than them is what it takes encrypted. */
int encrypt_frame(struct cipher *s, const struct data_key *key, const char *role, uint64_t place,
		  uint8_t *encrypted, size_t len, struct err *err);
/* The other way round; `len` is of the encrypted frame. */
int decrypt_frame(struct cipher *s, const struct data_key *key, const char *role, uint64_t place,
		  uint8_t *encrypted, size_t len, struct err *err);

/* How long a blob is inside, and outside. */
uint64_t encrypted_size(uint64_t plain);
/* False: no encrypted blob is `stored` bytes long. */
bool decrypted_size(uint64_t stored, uint64_t *plain);

/* A blob in memory. */
int encrypt_bytes(const struct data_key *key, const char *role, const void *data, size_t len,
		  struct buf *out, struct err *err);
/* `stored` bytes at `data` become what they hold, in place. */
int decrypt_bytes(const struct data_key *key, const char *role, uint8_t *data, size_t stored,
		  struct err *err);
/* A blob in a file: *to is in an unnamed one in memory, whose descriptor is the caller's to close;
 * it is -1 after an error. */
int encrypt_blob(const struct data_key *key, const char *role, const struct blob *from,
		 struct blob *to, struct err *err);
int decrypt_blob(const struct data_key *key, const char *role, const struct blob *from,
		 struct blob *to, struct err *err);

#endif
