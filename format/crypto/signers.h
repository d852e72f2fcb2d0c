/*
 * The public keys a user trusts, and whether an appliance is signed by one of them.
 *
 *     zeroed → signers_add_key / signers_add_folder … → signers_check … → signers_free
 *
 * What is signed is the config of an appliance: it names all contents by digest (torpor(5)).
 * One thread a set.
 */
#ifndef TORPOR_FORMAT_CRYPTO_SIGNERS_H
#define TORPOR_FORMAT_CRYPTO_SIGNERS_H

#include "format/crypto/minisign.h"

#define SIGNERS_MAX 1000u /* keys in a set */

struct signer {
	struct minisign_public key;
	char name[256]; /* its file's, or "" */
};

struct signers {
	struct signer *list; /* owned */
	size_t count;
};

/* Who has signed, when it is good. */
struct signed_by {
	char id[MINISIGN_ID_TEXT];
	char name[sizeof(((struct signer *)0)->name)]; /* "" when the key had none */
	char comment[MINISIGN_COMMENT + 1];	       /* the trusted one; printable */
};

/* Both return 0 or -errno: the errno of opening or reading a file, ERR_INTEGRITY for what is no
 * public key, ERR_FAILED for more than SIGNERS_MAX keys, or a folder or file that others can write,
 * or -ENOMEM.
 *
 * A bare public key, or the name of a file with one. */
int signers_add_key(struct signers *signers, const char *key_or_file, struct err *err);
/* Every *.pub in a folder. It and they must be root's or ours, and writable by no other user. No
 * such file at all is ERR_FAILED, one that is malformed ERR_INTEGRITY: trust is not guessed. */
int signers_add_folder(struct signers *signers, const char *path, struct err *err);
void signers_free(struct signers *signers);

/* Is `signature` (NULL: there is none) by one of the keys over these bytes? `by` may be NULL.
 * Returns 0; ERR_INTEGRITY, whose text says whether it is not signed, malformed, signed by a key
 * that is not in the set, or wrong; or what sign_check() gives. */
int signers_check(const struct signers *signers, const void *data, size_t len,
		  const char *signature, size_t signature_len, struct signed_by *by,
		  struct err *err);

#endif
