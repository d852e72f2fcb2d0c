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

/* A manifest of one image, for this host where an index lists several. */
struct registry_manifest {
	struct oci_descriptor self, config;
	struct oci_descriptor *blob; /* owned: the config, then the layers, each digest once */
	size_t nblobs;
	struct buf text;
	/* What was named: the index, with its text, or the manifest itself, without one. */
	char named[DIGEST_TEXT_SIZE];
	struct buf index;
};

#define REGISTRY_PARENT_TAG 80u

/* Fetch the manifest that a tag or digest names. ERR_NOT_FOUND when there is none. */
int registry_manifest(struct registry *r, struct http *http, const char *name,
		      struct registry_manifest *m, struct err *err);
/* The same of m->text alone: config and blobs. ERR_INTEGRITY. Pure. */
int registry_manifest_decode(struct registry_manifest *m, struct err *err);
/* {0} is fine. */
void registry_manifest_free(struct registry_manifest *m);
#define cleanup_registry_manifest __attribute__((cleanup(registry_manifest_free)))
/* What the parent of an increment is tagged with. */
void registry_parent_tag(char tag[REGISTRY_PARENT_TAG], const char *identity);

/* Let the name stand for what it stands for in the registry. The image is in the store. */
int registry_name(const struct cas *cas, const struct reference *ref,
		  const struct registry_manifest *m, struct err *err);

struct registry_pulled {
	char digest[DIGEST_TEXT_SIZE]; /* of the manifest: the image in the store, for this host */
	char named
		[DIGEST_TEXT_SIZE]; /* what was named: the same, or an index, which is there, too */
	bool appliance;		    /* it is one of ours; else a container's image */
	/* The parent that an increment stands on and that neither the registry nor the store has;
	 * "" when nothing is missing. */
	char missing[DIGEST_TEXT_SIZE];
};

/* What is fetched; ERR_USAGE for anything else, before more than its config has been. */
enum registry_wanted {
	REGISTRY_ANY,
	REGISTRY_CONTAINER, /* a container's image */
	REGISTRY_BOOTABLE,  /* that, or a cold appliance */
};

/* The config of an appliance, which is what a signature is over, and the signatures of it: minisign's
 * texts, not looked at yet. */
struct registry_signed {
	const uint8_t *config;
	size_t config_len;
	const char *own;     /* inside of the image; NULL: it has none */
	char *const *beside; /* the registry has these as referrers of the image; `nbeside` */
	unsigned nbeside;
};

struct registry_pull {
	bool all; /* of an index the images for all platforms, and not this host's alone */
	enum registry_wanted wanted;
	/* NULL, or called for each image, but not for parents (whose digests are in the config): an
	 * error ends the call, before more than config and signatures has been fetched of it. Then an
	 * image of a container is ERR_INTEGRITY, for nobody signs those. */
	int (*accept)(void *opaque, const struct registry_signed *is, struct err *err);
	void *opaque;
};

/* Fetch what the reference of the session names into the store, open for CAS_ADD, and the parents
 * of an increment with it. `digest` is "" where `all` has no image for this host. Blobs that are there
 * are not fetched; what a call that failed has fetched stays for the next one. Nothing gets a name
 * (cas_set_ref()). */
int registry_pull(struct registry *r, const struct cas *cas, const struct registry_pull *params,
		  struct registry_pulled *pulled, struct err *err);

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

/* One image of an index. */
struct registry_part {
	const char *name; /* for errors */
	const struct chain
		*chain; /* to be pushed; NULL: the registry has it, by tag or digest `there` */
	const char *there;
};

/* Push these files with their parents, and list them in an index at the tag of the session. What that
 * tag has for other platforms stays: an index, or a single image, which is one entry then. Two at the
 * same time may lose what one of both has added, for registries know no condition of a PUT.
 * push->digest is that of the index, whose text is put into `index`, to be freed by the caller.
 * ERR_USAGE when two are for the same platform, or there is no tag. */
int registry_push_index(struct registry *r, const struct registry_part *part, size_t n,
			struct registry_push *push, struct buf *index, struct err *err);

/* Push an index as it is, byte for byte, behind the images that it lists: `there` is the digest of each,
 * and `name` its platform. One whose `chain` is NULL must be in the registry: else ERR_NOT_FOUND, before
 * anything is sent. */
int registry_push_listed(struct registry *r, const void *text, size_t len,
			 const struct registry_part *part, size_t n, struct registry_push *push,
			 struct err *err);

#endif
