/*
 * Image indexes: several images under one name, one for each platform (OCI image spec 1.1, "Image
 * Index"; docker's manifest list, which is the same but for its name). Text in, plain structs out.
 * Pure; any thread.
 *
 * Functions with an `err` return 0, -EINVAL with ERR_INTEGRITY for what is malformed, -ENOMEM, and
 * what is said below. The others cannot fail.
 */
#ifndef TORPOR_FORMAT_OCI_INDEX_H
#define TORPOR_FORMAT_OCI_INDEX_H

#include "format/oci.h"

#define OCI_INDEX_TYPE	     "application/vnd.oci.image.index.v1+json"
#define DOCKER_INDEX_TYPE    "application/vnd.docker.distribution.manifest.list.v2+json"
#define DOCKER_MANIFEST_TYPE "application/vnd.docker.distribution.manifest.v2+json"
#define OCI_PLATFORM_SIZE    48u

/* As Go names them; both "" when nothing is said. */
struct oci_platform {
	char os[OCI_PLATFORM_SIZE], architecture[OCI_PLATFORM_SIZE];
};

struct oci_index_entry {
	struct oci_descriptor
		image; /* its digest is "" when that is no SHA-256, or there is no size */
	struct oci_platform platform;
};

struct oci_index {
	struct oci_index_entry *item; /* owned: images */
	size_t count;
	struct oci_index_entry *nested; /* owned: indexes in it */
	size_t nnested;
};

bool oci_is_index(const char *media_type);
bool oci_is_manifest(const char *media_type);

/* At most OCI_MAX_LAYERS entries; what is of other types is passed over. */
int oci_index_decode(struct oci_index *index, const uint8_t *text, size_t len, struct err *err);
void oci_index_free(struct oci_index *index);
#define cleanup_oci_index __attribute__((cleanup(oci_index_free)))

/* How well an image suits this host: 2: it is for it; 1: it does not say for what it is; 0: not. */
int oci_platform_fits(const struct oci_platform *platform);
/* The one that suits this host best, and the first of several. ERR_INCOMPATIBLE when there is none:
 * the text names what there is. */
int oci_index_choose(const struct oci_index *index, const struct oci_index_entry **chosen,
		     struct err *err);

/* The platform of an appliance for this architecture, which is of uname(2) ("x86_64"). */
void oci_platform_of(struct oci_platform *platform, const char *machine);
/* "linux/amd64"; "-" when nothing is said. */
void oci_platform_text(const struct oci_platform *platform, char text[2 * OCI_PLATFORM_SIZE]);

/* An index with these entries in place of those of the same platforms, and all that `old` has
 * besides. `old` is the text of an index; NULL: there is none. ERR_INTEGRITY when it is none. */
int oci_index_update(struct buf *out, const uint8_t *old, size_t len,
		     const struct oci_index_entry *entry, size_t n, struct err *err);

#endif
