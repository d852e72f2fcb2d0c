/*
 * The content-addressed store: images of OCI registries, below one folder.
 *
 *     blobs/sha256/HEX       contents by their SHA-256, checked when they came; shared by all
 *     partial/HEX            what has arrived of one; locked by who fetches it
 *     arriving/              what is used while it is fetched (cas_arriving.h)
 *     images/HEX/            an OCI image layout of one image, by the SHA-256 of its manifest:
 *                            oci-layout, index.json, and `blobs`, a link to the folder above;
 *                            referrers/HEX, empty, for each image that refers to it
 *     indexes/HEX/           for an index of images, one for each platform: its text is a blob
 *     refs/HOST/REPOSITORY:TAG   a name: a file that holds the digest of the manifest, or index
 *     lock                   shared by who adds, exclusive while the store is swept
 *
 * An image is in the store when its folder is, and then all of its blobs are. A blob comes into
 * place by rename when its digest was right and its bytes are on the disk; a folder by rename when
 * all its blobs are in place; a name when its folder is. So a process that is killed at any moment
 * leaves whole images, and rests that cas_sweep() removes.
 *
 * Who uses an image holds a shared lock on its folder (cas_hold()), for as long as its process or
 * a child of it lives: cas_sweep() leaves such images alone.
 *
 * Functions with an `err` return 0 or -errno with *err set: ERR_NOT_FOUND when the store lacks what
 * is asked for, ERR_INTEGRITY for contents that are not what their digest says, otherwise
 * ERR_FAILED with the errno of the system call on a file in it, or -ENOMEM. A struct cas may be
 * used by several threads, a struct cas_blob by one at a time.
 */
#ifndef TORPOR_STORE_CAS_H
#define TORPOR_STORE_CAS_H

#include <limits.h>
#include <stdbool.h>

#include "base/blob.h"
#include "base/err.h"
#include "base/progress.h"
#include "format/archive.h"
#include "format/crypto/digest.h"
#include "format/oci_index.h"
#include "store/reference.h"

#define CAS_FOLDER "oci" /* in the folder of the user's appliances */
#define CAS_ROOT   (PATH_MAX - 512u)

enum cas_use {
	CAS_LOOK,  /* find and read what is there; nothing is made */
	CAS_ADD,   /* the store is made when it is missing, and not swept meanwhile */
	CAS_SWEEP, /* nobody adds meanwhile */
};

struct cas {
	char root[CAS_ROOT];
	int folder; /* -1: there is none yet (CAS_LOOK) */
	int lock;
};

#define cleanup_cas __attribute__((cleanup(cas_close)))

/* `root` is the path of the store itself. Waits for others that sweep (CAS_ADD) or add (CAS_SWEEP).
 * CAS_SWEEP of a store that is not there: ERR_NOT_FOUND. */
int cas_open(struct cas *cas, const char *root, enum cas_use use, struct err *err);
void cas_close(struct cas *cas);

/* Blobs */

/* It is there, with that size. */
bool cas_has(const struct cas *cas, const char *digest, uint64_t size);
/* All of a blob of at most `max` bytes, for the caller to free. */
int cas_read(const struct cas *cas, const char *digest, uint64_t max, uint8_t **data, size_t *len,
	     struct err *err);

/* A blob that arrives: cas_blob_begin → cas_blob_add … → cas_blob_finish; cas_blob_leave at any
 * time, and always at the end. What has arrived stays for the next attempt. */
struct cas_blob {
	const struct cas *cas;
	char digest[DIGEST_TEXT_SIZE];
	uint64_t size;
	uint64_t have; /* bytes that arrived, maybe in an earlier process */
	uint64_t sent; /* of these, are on their way to the disk */
	int fd;
	struct digest *sum; /* of those */
};

/* Returns 1 when the blob is in place already, and nothing is open; else 0, also when part of it is
 * there. Waits while another process or thread fetches the same blob. */
int cas_blob_begin(struct cas_blob *b, const struct cas *cas, const char *digest, uint64_t size,
		   struct err *err);
/* ERR_INTEGRITY when that is more than the size. */
int cas_blob_add(struct cas_blob *b, const void *data, size_t len, struct err *err);
/* Forget what has arrived. */
int cas_blob_restart(struct cas_blob *b, struct err *err);
/* ERR_INTEGRITY when the digest differs or bytes are missing; a wrong one is then forgotten. */
int cas_blob_finish(struct cas_blob *b, struct err *err);
void cas_blob_leave(struct cas_blob *b);

#define cleanup_cas_blob __attribute__((cleanup(cas_blob_leave)))

/* All at once: from memory, which replaces one whose bytes are damaged, or from a file. */
int cas_put_bytes(const struct cas *cas, const char *digest, const void *data, size_t len,
		  struct err *err);
int cas_put_blob(const struct cas *cas, const char *digest, const struct blob *blob,
		 struct progress *progress, struct err *err);

/* Images */

/* The image of this manifest, whose blobs are all in place. One that is there already is fine. */
int cas_put_image(const struct cas *cas, const struct oci_descriptor *manifest, struct err *err);
/* An image whose config is that of an appliance must be one that archive_open() reads: what a registry
 * has given is looked at before it gets a name. Returns what cas_image_read() and archive_open() give. */
int cas_check_image(const struct cas *cas, const char *digest, struct err *err);
/* The error of cas_image_read(), cas_index_read() or archive_open() is one that another attempt gives,
 * too: what is there is damaged, not whole, or of a newer version. */
bool cas_is_damage(const struct err *err);
/* The appliance of an open file, with all of its blobs; its parents are the caller's to put before
 * it. `manifest` is the digest of the image. The bytes of `progress` are those of the blobs, which the
 * caller expects (archive_entries()). ERR_INTEGRITY when a blob is not what its digest says. */
int cas_put_archive(const struct cas *cas, const struct archive *a, struct progress *progress,
		    char manifest[DIGEST_TEXT_SIZE], struct err *err);
/* The path of its folder, an OCI layout that archive_open() reads. ERR_NOT_FOUND. */
int cas_image_path(const struct cas *cas, const char *digest, char path[PATH_MAX], struct err *err);
/* Keep the image while this process and its children live. Returns 0, or ERR_NOT_FOUND when it was
 * swept meanwhile. */
int cas_hold(const char *image_path, struct err *err);
/* The same while the descriptor is open, which is returned. -EWOULDBLOCK while it is being swept. */
int cas_hold_fd(const char *image_path, struct err *err);
/* The image with this config, which is the identity of an appliance. ERR_NOT_FOUND. */
int cas_find_identity(const struct cas *cas, const char *identity, char path[PATH_MAX],
		      struct err *err);

struct cas_image {
	char digest[DIGEST_TEXT_SIZE];
	struct oci_descriptor manifest, config;
	struct oci_descriptors layers; /* owned */
};

/* What an image is made of. ERR_NOT_FOUND, ERR_INTEGRITY. */
int cas_image_read(struct cas_image *image, const struct cas *cas, const char *digest,
		   struct err *err);
void cas_image_free(struct cas_image *image);

/* Referrers: images whose subject another image is, as its signatures. They stay as long as it does. */

/* Both are in the store. */
int cas_add_referrer(const struct cas *cas, const char *subject, const char *digest,
		     struct err *err);
/* Call `each` for them, until it returns something other than 0, and return that. */
int cas_each_referrer(const struct cas *cas, const char *subject,
		      int (*each)(void *opaque, const char *digest, struct err *err), void *opaque,
		      struct err *err);
/* The same for the texts of those that are signatures. A path that is no image of a store has none. */
int cas_each_signature(const char *image_path,
		       int (*each)(void *opaque, const char *text, struct err *err), void *opaque,
		       struct err *err);

/* Indexes: of the images that one lists, any may be in the store. Whoever uses a name gets the image
 * for this host (cas_resolve()). They are held like images, by cas_hold() of cas_index_path(). */

/* Those of its images that are in the store stay as long as it does. */
int cas_put_index(const struct cas *cas, const char *digest, const void *text, size_t len,
		  struct err *err);
bool cas_is_index(const struct cas *cas, const char *digest);
/* The path of its folder. ERR_NOT_FOUND. */
int cas_index_path(const struct cas *cas, const char *digest, char path[PATH_MAX], struct err *err);
/* ERR_NOT_FOUND, ERR_INTEGRITY. */
int cas_index_read(struct oci_index *index, const struct cas *cas, const char *digest,
		   struct err *err);
/* Call `each` for those images of the index that are in the store, until it returns something other than 0, and return
 * that. */
int cas_index_each(const struct oci_index *index, const struct cas *cas,
		   int (*each)(void *opaque, const char *digest,
			       const struct oci_platform *platform, struct err *err),
		   void *opaque, struct err *err);

/* Names */

/* ERR_USAGE for a name that is too long for the store: before anything is fetched for it. */
int cas_check_ref(const struct reference *ref, struct err *err);
/* Let the name stand for the image or index, whatever it stood for before. */
int cas_set_ref(const struct cas *cas, const struct reference *ref, const char *digest,
		struct err *err);
/* ERR_NOT_FOUND when there is no such name. */
int cas_remove_ref(const struct cas *cas, const struct reference *ref, struct err *err);
/* The digest of the image or index that it stands for; one with a digest is that itself.
 * ERR_NOT_FOUND. */
int cas_resolve_name(const struct cas *cas, const struct reference *ref,
		     char digest[DIGEST_TEXT_SIZE], struct err *err);
/* The same, and of an index its image for this host. ERR_INCOMPATIBLE when it lists none,
 * ERR_NOT_FOUND also when the store has that not. */
int cas_resolve(const struct cas *cas, const struct reference *ref, char digest[DIGEST_TEXT_SIZE],
		struct err *err);

struct cas_ref {
	struct reference name;
	char digest[DIGEST_TEXT_SIZE];
};

struct cas_refs {
	struct cas_ref *item; /* owned; sorted by name */
	size_t count;
};

int cas_list(struct cas_refs *refs, const struct cas *cas, struct err *err);
void cas_refs_free(struct cas_refs *refs);

/* Names as a registry has them: NAME is every HOST/NAME of the store, and HOST/NAME is that one. Of
 * several hosts "localhost" comes first. */

/* Call `each` for the tags of a repository, in no order, until it returns something other than 0, and
 * return that. A tag may come more than once. */
int cas_each_tag(const struct cas *cas, const char *repository,
		 int (*each)(void *opaque, const char *tag, struct err *err), void *opaque,
		 struct err *err);
/* The image or index of a tag. ERR_NOT_FOUND, also, with a text that says so, when the hosts other than
 * "localhost" have different ones. */
int cas_resolve_tag(const struct cas *cas, const char *repository, const char *tag,
		    char digest[DIGEST_TEXT_SIZE], struct err *err);
/* The file of a blob, to be closed by the caller. ERR_NOT_FOUND. */
int cas_open_blob(const struct cas *cas, const char *digest, struct err *err);

/* Sweeping */

struct cas_swept {
	unsigned images, blobs, partial; /* indexes are counted as blobs */
	uint64_t bytes;
};

/* Remove images and indexes without a name that nobody holds; an image stays also when an index that
 * stays lists it, or an increment stands on it. Then blobs of no image, and what was left half fetched
 * or arrives for nobody. `cas` is open for CAS_SWEEP. `roots` are identities of parents that increments
 * elsewhere need. One that is to stay and cannot be read is an error, and nothing is removed: what it needs
 * is unknown. One that nobody needs is removed unread.
 * `progress` is told the bytes; NULL: nobody is. */
int cas_sweep(const struct cas *cas, const char (*roots)[DIGEST_TEXT_SIZE], size_t nroots,
	      struct progress *progress, struct cas_swept *swept, struct err *err);

#endif
