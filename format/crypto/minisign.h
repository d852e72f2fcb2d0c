/*
 * minisign's files as text: public keys, secret keys, detached signatures. No cryptography here;
 * that is sign.h.
 *
 *     public key   untrusted comment: …        secret key   untrusted comment: …
 *                  base64("Ed" id key)                      base64("Ed" kdf "B2" salt limits …)
 *     signature    untrusted comment: …
 *                  base64("ED" id signature)
 *                  trusted comment: …
 *                  base64(signature over signature and trusted comment)
 *
 * Decoders take text of any origin: lengths are capped and every byte is accounted for. They return
 * 0, or -EINVAL with ERR_INTEGRITY, which names an algorithm that is not known. The others cannot
 * fail. Pure; any thread.
 */
#ifndef TORPOR_FORMAT_CRYPTO_MINISIGN_H
#define TORPOR_FORMAT_CRYPTO_MINISIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define MINISIGN_ID	   8u
#define MINISIGN_ID_TEXT   17u	  /* 16 hex digits, NUL */
#define MINISIGN_KEY_LINE  56u	  /* characters of a bare public key */
#define MINISIGN_COMMENT   8173u  /* longest trusted comment that minisign reads */
#define MINISIGN_TEXT	   10240u /* no file of any kind is longer */
#define MINISIGN_SIGNATURE 64u

struct minisign_public {
	uint8_t id[MINISIGN_ID];
	uint8_t key[32];
};

/* What the passphrase locks: all of it is XORed with a stream made from that. */
struct minisign_locked {
	uint8_t id[MINISIGN_ID];
	uint8_t key[64]; /* seed, then public key */
	uint8_t checksum[32];
};

struct minisign_secret {
	bool is_locked;
	uint8_t salt[32];
	uint64_t opslimit; /* scrypt's limits as libsodium states them */
	uint64_t memlimit;
	struct minisign_locked part;
};

struct minisign_signature {
	bool prehashed; /* "ED": of the BLAKE2b-512 of the message; "Ed": of the message */
	uint8_t id[MINISIGN_ID];
	uint8_t signature[MINISIGN_SIGNATURE];
	uint8_t global[MINISIGN_SIGNATURE]; /* of `signature` and `comment` together */
	char comment[MINISIGN_COMMENT + 1]; /* may be shown: see minisign_comment_ok() */
};

/* "EE5BF49DD27FEC40", as minisign shows it. */
void minisign_id_text(const uint8_t id[MINISIGN_ID], char text[MINISIGN_ID_TEXT]);

/* A public key's file, or its second line alone. */
int minisign_public_decode(struct minisign_public *key, const char *text, size_t len,
			   struct err *err);
int minisign_secret_decode(struct minisign_secret *key, const char *text, size_t len,
			   struct err *err);
int minisign_signature_decode(struct minisign_signature *sig, const char *text, size_t len,
			      struct err *err);

/* Into `text`, with a NUL; the number of characters. */
size_t minisign_public_encode(const struct minisign_public *key, char text[MINISIGN_TEXT]);
size_t minisign_secret_encode(const struct minisign_secret *key, char text[MINISIGN_TEXT]);
size_t minisign_signature_encode(const struct minisign_signature *sig, char text[MINISIGN_TEXT]);

/* The second line of a public key's file. */
void minisign_public_line(const struct minisign_public *key, char line[MINISIGN_KEY_LINE + 1]);

/* Short enough, one line, and nothing that moves a terminal's cursor. */
bool minisign_comment_ok(const char *comment);

#endif
