/*
 * Sealed bytes: encrypted and authenticated with AES-256-GCM (NIST SP 800-38D).
 *
 * The unit is the box: a nonce of 12 random bytes, the ciphertext, a tag of 16 bytes. A key is used
 * for one appliance only, and far below 2^32 times, so random nonces do not meet. A box says
 * nowhere what it holds, but opens in its place alone: which blob or image it belongs to, its
 * number there, and how long all of that is are authenticated with it.
 *
 * Frames are sealed one by one, after they were packed, each in a skippable frame of zstd: a sealed
 * part is still a file of that format, and its seek table says where each is. Other blobs are cut
 * into chunks of 64 KiB.
 */
#ifndef TORPOR_FORMAT_CRYPTO_SEAL_H
#define TORPOR_FORMAT_CRYPTO_SEAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/buf.h"
#include "base/err.h"

#define SEAL_KEY	32u
#define SEAL_NONCE	12u
#define SEAL_TAG	16u
#define SEAL_BOX	(SEAL_NONCE + SEAL_TAG) /* what a box is longer than its contents */
#define SEAL_FRAME	(8u + SEAL_BOX)		/* what a sealed frame is longer */
#define SEAL_FRAME_DATA (8u + SEAL_NONCE)	/* where its contents begin */

/* In memory that secret_new() gave. */
struct seal_key {
	uint8_t bytes[SEAL_KEY];
};

/* What a thread works with. */
struct sealer;

#define cleanup_sealer __attribute__((cleanup(sealer_cleanup)))

int sealer_new(struct sealer **out, struct err *err);
void sealer_free(struct sealer *s);

static inline void sealer_cleanup(struct sealer **s)
{
	sealer_free(*s);
}

/* A key of random bytes; NULL: an error. */
struct seal_key *seal_key_new(struct err *err);
void seal_key_free(struct seal_key *key);

/* `box` has SEAL_BOX bytes more than `plain`, which may be at box + SEAL_NONCE; `bound` is
 * authenticated, and not in the box. */
int seal_box(struct sealer *s, const struct seal_key *key, const void *bound, size_t bound_len,
	     const void *plain, size_t len, uint8_t *box, struct err *err);
/* `len` is of the contents. ERR_INTEGRITY when it is not a box of this key and of `bound`; what is
 * in `plain` (which may be at box + SEAL_NONCE) then means nothing. */
int seal_open(struct sealer *s, const struct seal_key *key, const void *bound, size_t bound_len,
	      const uint8_t *box, void *plain, size_t len, struct err *err);

/* In place: the `len` bytes of a packed frame are at sealed + SEAL_FRAME_DATA; SEAL_FRAME more than
 * them is what it takes sealed. */
int seal_frame(struct sealer *s, const struct seal_key *key, const char *role, uint64_t place,
	       uint8_t *sealed, size_t len, struct err *err);
/* The other way round; `len` is of the sealed frame. */
int seal_open_frame(struct sealer *s, const struct seal_key *key, const char *role, uint64_t place,
		    uint8_t *sealed, size_t len, struct err *err);

/* How long a blob is inside, and outside. */
uint64_t seal_stored_size(uint64_t plain);
/* False: no sealed blob is `stored` bytes long. */
bool seal_plain_size(uint64_t stored, uint64_t *plain);

/* A blob in memory. */
int seal_bytes(const struct seal_key *key, const char *role, const void *data, size_t len,
	       struct buf *out, struct err *err);
/* `stored` bytes at `data` become what they hold, in place. */
int seal_open_bytes(const struct seal_key *key, const char *role, uint8_t *data, size_t stored,
		    struct err *err);
/* A blob in a file: *to is in an unnamed one in memory, whose descriptor is the caller's to close;
 * it is -1 after an error. */
int seal_blob(const struct seal_key *key, const char *role, const struct blob *from,
	      struct blob *to, struct err *err);
int seal_open_blob(const struct seal_key *key, const char *role, const struct blob *from,
		   struct blob *to, struct err *err);

#endif
