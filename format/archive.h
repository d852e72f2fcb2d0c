/*
 * Reading a .torpor file: an OCI image layout inside an aligned pax tar.
 *
 * archive_open() walks the tar headers (own reader: a resume must not wait for a library of
 * seventeen to load), follows oci-layout → index.json → manifest → config and maps, and checks
 * everything it read: duplicates, unknown critical members, sizes, caps. When the file is known to
 * be good (verified.h) the digests of those small blobs are not computed again; otherwise they are,
 * here. Bulk blobs (memory, disks, kernel) are only located. Nothing in the file is trusted before
 * that.
 *
 * An `oci:` folder is opened the same way. Blobs borrow the archive's descriptors and are valid
 * until archive_close(). One thread.
 *
 * The contents of an encrypted file are opened with the keyring that is given: blobs at once, into
 * memory, frames when they are read. Without one the file opens all the same, and everything about
 * it but its contents can be had.
 *
 * Functions with an `err` return 0 or -errno with *err set, and the text begins with the path:
 *
 *   ERR_INTEGRITY     -EINVAL: not a torpor file, truncated, malformed, a digest that differs, or
 *                     contents that are not what the config names; -ENOENT: a member that it
 *                     names is missing
 *   ERR_INCOMPATIBLE  -EINVAL: a newer format, or a blob of a type that this version must know
 *   ERR_USAGE         -EINVAL: it is encrypted, and the keyring has no key of that kind
 *   ERR_FAILED        -EINVAL: the passphrase or key file is wrong, or libcrypto failed;
 *                     -ENOSYS: libcrypto or libzstd cannot be loaded; -ENOMEM; or the errno of
 *                     open(2), fstat(2), pread(2), memfd_create(2) or pwrite(2)
 *   ERR_NOT_FOUND     -ENOENT: there is no such file
 *
 * The others cannot fail.
 */
#ifndef TORPOR_FORMAT_ARCHIVE_H
#define TORPOR_FORMAT_ARCHIVE_H

#include <stdbool.h>

#include "base/blob.h"
#include "base/err.h"
#include "base/progress.h"
#include "format/appliance.h"
#include "format/container.h"
#include "format/crypto/keyring.h"
#include "format/image/image.h"
#include "format/oci.h"

struct archive;

/* Roles of blobs (annotation `org.torpor.role` of the manifest's layers). Images have a map, a hash
 * list and parts: `ROLE.map`, `ROLE.hashes`, `ROLE.0`, `ROLE.1` … */
#define ROLE_KERNEL	    "kernel"
#define ROLE_INITRD	    "initrd"
#define ROLE_STATE	    "state"
#define ROLE_MEMORY	    "memory" /* + ".N": RAM range N */
#define ROLE_DISK	    "disk"   /* + ".N": disk N; ".N.overlay": what was written over it */
#define ROLE_OVERLAY_SUFFIX ".overlay"
#define ROLE_SIGNATURE	    "signature" /* over the config; no content */

/* Open a file or an OCI folder (`oci:DIR`, or a path of a directory) without keys. */
int archive_open(struct archive **out, const char *path, struct err *err);

struct archive_open_params {
	int fd; /* taken; read this instead of opening `path`; -1: open it */
	/* NULL, or who decides by the signature (NULL: there is none) over the bytes of the config
	 * whether to go on: asked before anything but the manifest is parsed. It returns 0, or an
	 * error that archive_open_with() returns. */
	int (*verify_signature)(void *opaque, const uint8_t *config, size_t len,
				const char *signature, struct err *err);
	void *opaque;
	/* Borrowed during the call; NULL: contents that are encrypted stay closed. */
	struct keyring *keys;
	/* NULL, or the members instead of a file (container_give()); they stay the caller's until
	 * after archive_close(). Nothing is believed of them: what is small is hashed when it is
	 * opened, frames are compared when they are read, waiting for what has not arrived. */
	const struct container_member *members;
	size_t nmembers;
	/* NULL, or who has the members of the parent of that identity; false: it is a file, which
	 * the chain's finder finds. */
	bool (*give_parent)(void *opaque, const char *digest,
			    const struct container_member **members, size_t *n);
	void *give_opaque;
};
int archive_open_with(struct archive **out, const char *path,
		      const struct archive_open_params *params, struct err *err);
/* Verifying it, and converting it, is told to `progress` (borrowed; NULL: nobody) from here on, which
 * may cancel: they return -ECANCELED then. */
void archive_watch(struct archive *a, struct progress *progress);
struct progress *archive_progress(const struct archive *a);
/* The sizes of all of its images, with their zeros. */
uint64_t archive_image_bytes(const struct archive *a);
/* NULL is fine. */
void archive_close(struct archive *a);

static inline void archive_cleanup(struct archive **a)
{
	archive_close(*a);
}

#define cleanup_archive __attribute__((cleanup(archive_cleanup)))

/* What archive_digest() would be. It is read from the file and not checked: to find a file by it,
 * not to trust it. */
int archive_identify(const char *path, char digest[DIGEST_TEXT_SIZE], struct err *err);

const char *archive_path(const struct archive *a);
const struct appliance *archive_appliance(const struct archive *a);
/* "sha256:…" of the config: the identity of the appliance, whatever its encoding. */
const char *archive_digest(const struct archive *a);
/* All of the file's blobs are on page boundaries, so that they can be mapped. */
bool archive_aligned(const struct archive *a);

/* The key of its contents: borrowed; NULL when they are in clear, or closed. */
const struct data_key *archive_key(const struct archive *a);
/* Lock the key in the memory of this process, a child of the one that opened the archive. */
void archive_lock_keys(const struct archive *a);
/* ERR_USAGE when its contents are closed. */
int archive_check_open(const struct archive *a, struct err *err);

/* The contents of a role; false when there are none, or when they are closed. */
bool archive_blob(const struct archive *a, const char *role, struct blob *blob);
/* An image by role ("memory.0"); NULL when there is none. Owned by the archive. */
const struct image *archive_image(const struct archive *a, const char *role);
/* Load the hash lists of all images, to compare with (image_source.parent). Their
 * digests are computed, unless the file is known to be good. Packed images have theirs from the
 * start. */
int archive_load_hashes(struct archive *a, struct err *err);

/* What `inspect` and `verify` list. */
struct archive_entry {
	const char *role;
	const char *media_type;
	const char *digest;
	struct blob blob;			 /* as it is stored: encrypted, maybe */
	const struct oci_descriptor *descriptor; /* NULL for the manifest */
};
size_t archive_entries(const struct archive *a, const struct archive_entry **entries);

/* Hash every blob against its digest and every data frame against the hash list, on all cores,
 * packed ones after unpacking (unless they are encrypted and closed). Each finding is told through
 * `report` ("frame 812 of memory.0: SHA-256 differs"); the return value is the first as
 * ERR_INTEGRITY. A clean pass is remembered (verified.h). `report` may be NULL. */
int archive_verify(struct archive *a, void (*report)(void *opaque, const char *finding),
		   void *opaque, struct err *err);
/* Verify now what is not checked when it is used: every blob but packed parts, whose frames are
 * checked then. Does nothing for a file that is remembered as good (verified.h). Of members that
 * were given only what is small: kernel and initrd are for archive_check_boot(). */
int archive_ensure_verified(struct archive *a, struct err *err);
/* Hash kernel and initrd of members that were given, which waits for them. Does nothing for others,
 * and nothing the second time. Loop's thread. */
int archive_check_boot(struct archive *a, struct err *err);
/* Its members were given. */
bool archive_is_given(const struct archive *a);

#endif
