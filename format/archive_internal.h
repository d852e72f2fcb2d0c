/*
 * Private to archive.c, archive_images.c, archive_encrypted.c and archive_verify.c: what an open
 * archive is made of.
 *
 * Functions with an `err` return 0 or -errno as archive.h lists them, without the path in the text.
 * The others cannot fail.
 */
#ifndef TORPOR_FORMAT_ARCHIVE_INTERNAL_H
#define TORPOR_FORMAT_ARCHIVE_INTERNAL_H

#include <sys/stat.h>

#include "format/archive.h"
#include "format/container.h"
#include "format/oci.h"

struct archive_image {
	char role[OCI_ROLE_SIZE];
	struct image image;
};

/* Blobs that are encrypted in an encrypted file. Hash lists are, too, and frames. */
#define ARCHIVE_ENCRYPTED_BLOBS 3u

struct archive {
	char *path;
	struct container container;
	struct stat st; /* of the tar when it was opened */
	bool known;	/* remembered as good; of a folder once archive_ensure_verified() asked */
	bool given;	/* its members were, and may be arriving: known is false */
	bool boot_checked;
	bool settled; /* it may be remembered as good: verified_settle(); not of a folder */
	const struct archive_open_params *params; /* while it is opened */
	struct progress *progress;		  /* borrowed; NULL: none */
	struct oci_descriptor manifest;
	struct oci_descriptor config;
	struct oci_descriptors layers;
	struct blob index_blob;
	struct appliance appliance;
	struct archive_entry *entries; /* manifest, config, layers; text borrowed from the above */
	size_t nentries;
	struct data_key *key; /* of the contents; NULL: in clear, or closed */
	struct blob opened[ARCHIVE_ENCRYPTED_BLOBS]; /* fds owned; -1: not there */
	struct archive_image *images;
	size_t nimages;
};

/* Locate, read and, unless the file is known, hash a blob of at most `max` bytes; *data is freed by
 * the caller, and is NULL after an error. */
int archive_read_described(struct archive *a, const struct oci_descriptor *d, uint64_t max,
			   struct blob *blob, uint8_t **data, struct err *err);

/* The blob of a role, as it is stored, or NULL. */
const struct archive_entry *archive_find(const struct archive *a, const char *role);

/* archive_encrypted.c */

/* Its contents are encrypted, whether there is a key or not. */
bool archive_encrypted(const struct archive *a);
/* Once the config is decoded: a wrong key is reported before anything else is looked at. Returns
 * what keyring_open() gives. */
int archive_unlock(struct archive *a, const uint8_t *config, size_t len, struct err *err);
/* Once the entries are listed: load what archive_blob() gives into memory. */
int archive_open_blobs(struct archive *a, struct err *err);
/* Forget the key and what it opened. */
void archive_forget_key(struct archive *a);

/* archive_images.c: find the images among the layers; they are those that the config promises. */
int archive_read_images(struct archive *a, struct err *err);

#endif
