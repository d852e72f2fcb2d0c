/*
 * What a registry answers when it is asked for an image: a manifest, or an index of several
 * (OCI image spec 1.1; docker's schema 2 and manifest list, which are the same but for their
 * names). Pure; any thread.
 */
#ifndef TORPOR_REGISTRY_MANIFEST_H
#define TORPOR_REGISTRY_MANIFEST_H

#include "base/err.h"
#include "format/oci_index.h"

/* For an Accept header. */
#define MANIFEST_ACCEPT                                                                            \
	OCI_MANIFEST_TYPE ", " OCI_INDEX_TYPE ", " DOCKER_MANIFEST_TYPE ", " DOCKER_INDEX_TYPE

struct manifest_choice {
	bool index; /* `image` is the one of its images that this host can run */
	struct oci_descriptor image;
	char media_type[OCI_TYPE_SIZE]; /* of the text itself */
};

/* `type` is the Content-Type, used when the text does not say what it is. Returns 0; -EINVAL with
 * ERR_INTEGRITY for what is neither; or -EINVAL with ERR_INCOMPATIBLE when an index has nothing for
 * this host, or the manifest is of docker's schema 1. */
int manifest_look(struct manifest_choice *choice, const uint8_t *text, size_t len, const char *type,
		  struct err *err);

/* The identity of the parent that the config of an appliance names; "" when it is no increment.
 * Returns 0, or -EINVAL with ERR_INTEGRITY. */
int manifest_parent(const uint8_t *config, size_t len, char parent[DIGEST_TEXT_SIZE],
		    struct err *err);
/* Whether the config of an appliance is of one that was saved while it ran. The same errors. */
int manifest_is_live(const uint8_t *config, size_t len, bool *live, struct err *err);

#endif
