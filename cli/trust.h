/* The keys that the user trusts to sign: --key and --require-signature. One thread. */
#ifndef TORPOR_CLI_TRUST_H
#define TORPOR_CLI_TRUST_H

#include "format/crypto/signers.h"
#include "registry/transfer.h"

/* A set of public keys. trust_verify_signature() is for archive_open_params. */
struct trust {
	struct signers signers;
	const char *image;   /* NULL, or the file: one of the store may have signatures beside it */
	char *const *beside; /* borrowed: signatures that came beside it; `nbeside` */
	unsigned nbeside;
	struct signed_by by; /* set by trust_verify_signature() when it succeeds */
};

#define cleanup_trust __attribute__((cleanup(trust_free)))

/* A bare public key, a file with one, or the word `trust` for all in the folder of trusted keys
 * (path_trust). `trust` is zeroed before. Returns 0, or what signers_add_key(),
 * path_trust() and signers_add_folder() give. */
int trust_load(struct trust *trust, const char *key, struct err *err);
/* For archive_open_params: `opaque` is a struct trust. Returns what signers_check() gives. */
int trust_verify_signature(void *opaque, const uint8_t *config, size_t len, const char *signature,
			   struct err *err);
/* Let `what` fetch only what `key` has signed (trust_load()); NULL: anything. `trust` must live as long. */
int trust_pull(struct trust *trust, const char *key, struct registry_pull *what, struct err *err);
void trust_free(struct trust *trust);

#endif
