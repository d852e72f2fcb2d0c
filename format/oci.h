/*
 * The three JSON documents that make a folder (or tar) an OCI image layout: oci-layout, index.json
 * (which is read by oci_index.h) and the image manifest (OCI image spec v1: "Image Layout", "Index",
 * "Manifest"). Text in, plain
 * structs out; nothing here touches a file. Pure.
 *
 * Decoders return 0, -EINVAL with ERR_INTEGRITY (a malformed document) or ERR_INCOMPATIBLE (another
 * version of the layout), or -ENOMEM. Encoders return 0 or -ENOMEM; oci_encode_layout() leaves that
 * to buf_failed(). The others cannot fail.
 */
#ifndef TORPOR_FORMAT_OCI_H
#define TORPOR_FORMAT_OCI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arch.h"
#include "base/buf.h"
#include "base/err.h"
#include "format/crypto/digest.h"

#define OCI_LAYOUT_NAME "oci-layout"
#define OCI_INDEX_NAME	"index.json"
#define OCI_BLOB_PREFIX "blobs/sha256/"

#define OCI_MANIFEST_TYPE  "application/vnd.oci.image.manifest.v1+json"
#define OCI_CONFIG_TYPE	   "application/vnd.torpor.config.v1+json"
#define OCI_KERNEL_TYPE	   "application/vnd.torpor.kernel.v1"
#define OCI_INITRD_TYPE	   "application/vnd.torpor.initrd.v1"
#define OCI_STATE_TYPE	   "application/vnd.torpor.state.v1"
#define OCI_MAP_TYPE	   "application/vnd.torpor.map.v1"
#define OCI_HASHES_TYPE	   "application/vnd.torpor.hashes.v1"
#define OCI_FLAT_TYPE	   "application/vnd.torpor.flat.v1"
#define OCI_PACKED_TYPE	   "application/vnd.torpor.packed.v1"
#define OCI_HOT_TYPE	   "application/vnd.torpor.hot.v1"
#define OCI_HOTLIST_TYPE   "application/vnd.torpor.hotlist.v1"
#define OCI_SIGNATURE_TYPE "application/vnd.torpor.signature.v1"

#define OCI_ROLE_KEY "org.torpor.role"
/* "true": a reader that does not know the media type may pass over the blob. */
#define OCI_OPTIONAL_KEY "org.torpor.optional"
#define OCI_ROLE_SIZE	 64u
#define OCI_TYPE_SIZE	 128u
#define OCI_PATH_SIZE	 (sizeof(OCI_BLOB_PREFIX) + 64u)
#define OCI_MAX_LAYERS	 1024u

#define OCI_ARCHITECTURE ARCH_GO /* this host's */

struct oci_descriptor {
	char media_type[OCI_TYPE_SIZE];
	char digest[DIGEST_TEXT_SIZE];
	uint64_t size;
	char role[OCI_ROLE_SIZE]; /* "" when it has none */
	bool optional;
};

struct oci_descriptors {
	struct oci_descriptor *item; /* owned */
	size_t count;
};

void oci_descriptors_free(struct oci_descriptors *list);

/* Is a blob of this type named in the config, as a part of the appliance's identity? */
bool oci_is_content(const char *media_type);
/* The type of the content that has this role: there is one for each, so that nobody can give a part
 * of the identity another meaning. NULL: the role is no content's. */
const char *oci_content_type(const char *role);

/* blobs/sha256/… of a digest that oci_decode_*() or digest_text() gave. */
void oci_blob_path(const char *digest, char path[OCI_PATH_SIZE]);

int oci_check_layout(const uint8_t *text, size_t len, struct err *err);
int oci_decode_manifest(struct oci_descriptor *config, struct oci_descriptors *layers,
			const uint8_t *text, size_t len, struct err *err);

void oci_encode_layout(struct buf *out);
int oci_encode_index(const struct oci_descriptor *manifest, struct buf *out, struct err *err);
int oci_encode_manifest(const struct oci_descriptor *config, const struct oci_descriptors *layers,
			struct buf *out, struct err *err);

#endif
