/*
 * Signatures beside an image (OCI distribution 1.1, "Listing Referrers"; image spec 1.1, "Guidelines
 * for Artifact Usage"). A signature is an artifact of the type OCI_SIGNATURE_TYPE: a manifest with one
 * layer, minisign's text over the config, whose subject is the manifest of the image. Where the
 * registry has no such API, the tag sha256-HEX is an index of them.
 *
 * Functions return 0 or -errno with *err set: what session.h and cas.h say.
 */
#ifndef TORPOR_REGISTRY_REFERRERS_H
#define TORPOR_REGISTRY_REFERRERS_H

#include "format/archive.h"
#include "registry/session.h"
#include "registry/transfer.h"
#include "store/cas.h"

/* Signatures of one image that are looked at. */
#define REFERRERS_MAX 16u

/* Attach a signature, which the registry has as a blob, to a manifest that it has. Two at the same time
 * may lose one of both where the tag is used, as the specification says. */
int referrers_push(struct registry *r, struct http *http, const struct oci_descriptor *manifest,
		   const struct oci_descriptor *signature, struct err *err);

/* Attach the signature in a file to the image that the reference of the session names, which is the same
 * appliance without it, say. `digest` is that image. ERR_USAGE when the file is not signed, ERR_INTEGRITY
 * when the image is another appliance. */
int referrers_sign(struct registry *r, const struct archive *a, char digest[DIGEST_TEXT_SIZE],
		   struct err *err);

/* The same with the signatures that the store keeps beside an image, whose folder this is; a path that is
 * none has no such signatures. */
int referrers_push_stored(struct registry *r, struct http *http,
			  const struct oci_descriptor *manifest, const char *image_path,
			  struct err *err);

/* Fetch the signatures of an image that is in the store. None is no error; what is no signature, is of
 * another image, or is longer than one can be, is passed over. */
int referrers_pull(struct registry *r, struct http *http, const struct cas *cas,
		   const char *manifest, struct err *err);

/* What an index of referrers lists as signatures, the first of them; what is none, or has no digest, is
 * passed over. Returns how many. Pure. */
unsigned referrers_list(const json_t *index, char digest[REFERRERS_MAX][DIGEST_TEXT_SIZE]);
/* The manifest is of one signature of this image, and no blob of it is longer than one can be. Pure. */
bool referrers_is_signature(const struct registry_manifest *m, const char *subject);

struct signatures {
	char *text[REFERRERS_MAX]; /* owned: minisign's */
	unsigned count;
};

/* The same into memory, of an image that is anywhere. */
int referrers_signatures(struct registry *r, struct http *http, const char *manifest,
			 struct signatures *signatures, struct err *err);
/* {0} is fine. */
void signatures_free(struct signatures *signatures);

#endif
