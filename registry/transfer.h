/*
 * Images from a registry into the store, and appliances from files to a registry (OCI distribution
 * 1.1, "Pull" and "Push").
 *
 * Manifests go and come byte for byte, so what is pushed has the manifest that is in the file. The
 * parents of an increment go along, each with the tag parent-HEX, where HEX is its identity, and
 * are fetched by it.
 *
 * Functions return 0 or -errno with *err set: what session.h and cas.h say, ERR_INTEGRITY for what
 * is not what its digest or its size says, and ERR_INCOMPATIBLE for an image of another
 * architecture.
 */
#ifndef TORPOR_REGISTRY_TRANSFER_H
#define TORPOR_REGISTRY_TRANSFER_H

#include "format/chain.h"
#include "registry/session.h"
#include "store/cas.h"

struct registry_pulled {
	char digest[DIGEST_TEXT_SIZE]; /* of the manifest: the image in the store */
	bool appliance;		       /* it is one of ours; else a container's image */
	/* The parent that an increment stands on and that neither the registry nor the store has;
	 * "" when nothing is missing. */
	char missing[DIGEST_TEXT_SIZE];
};

/* Fetch what the reference of the session names into the store, open for CAS_ADD, and the parents
 * of an increment with it. Blobs that are there are not fetched; what a call that failed has
 * fetched stays for the next one. The image gets no name (cas_set_ref()). */
int registry_pull(struct registry *r, const struct cas *cas, struct registry_pulled *pulled,
		  struct err *err);

struct registry_push {
	/* NULL, or another repository of that registry which may have the blob; it is asked to
	 * share it. */
	const char *(*mount_from)(void *opaque, const char *digest);
	void *opaque;
	/* Filled in: bytes of blobs that were sent, and that the registry had. */
	uint64_t sent, there;
	char digest[DIGEST_TEXT_SIZE]; /* of the newest file's manifest */
};

/* Push a file with its parents. Blobs that the registry has are not sent. */
int registry_push(struct registry *r, const struct chain *chain, struct registry_push *push,
		  struct err *err);

#endif
