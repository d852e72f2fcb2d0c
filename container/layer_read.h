/*
 * Reading a layer of an image: a tar, plain or packed by gzip or zstd, whose entries go into a tree
 * and whose contents go into a file system. libarchive reads; the bytes are hostile.
 *
 *     layer_read_prepare → (a sandbox may be entered) → layer_read …
 */
#ifndef TORPOR_CONTAINER_LAYER_READ_H
#define TORPOR_CONTAINER_LAYER_READ_H

#include <stdbool.h>

#include "base/blob.h"
#include "container/ext4_image.h"
#include "format/crypto/digest.h"
#include "format/oci.h"

struct layer_source {
	struct blob blob;
	char media_type[OCI_TYPE_SIZE]; /* "": whatever it is */
	char digest[DIGEST_TEXT_SIZE];	/* of the blob; "": any */
	char diff_id[DIGEST_TEXT_SIZE]; /* of the tar; "": any */
};

/* Load the libraries and set the process's locale, so that names are bytes. Before other threads.
 * Returns 0; -EINVAL with ERR_FAILED: libarchive is not there; or what digest_bytes() gives. */
int layer_read_prepare(struct err *err);

struct layer_budget {
	uint64_t stream; /* bytes that layers may still unpack to */
};

/* Apply a layer. diff_id becomes the digest of its tar. Returns 0, or
 *
 *     ERR_INTEGRITY   another digest, another format than the media type says, a damaged tar, or
 *                     what layer_tree.h and ext4_image.h refuse
 *     ERR_FAILED      libarchive or libcrypto is not there or failed; no memory; the errno of a
 *                     system call
 *
 * Tree and file system are of no use then. */
int layer_read(const struct layer_source *source, struct layer_tree *tree, struct ext4_image *img,
	       struct layer_budget *budget, char diff_id[DIGEST_TEXT_SIZE], struct err *err);

#endif
