/*
 * Where an image of a container is: an OCI image layout in a folder or a tar, docker's archive, or
 * a bare tar. What it says of itself is read and checked; its layers are found, but not read.
 *
 *     image_source_open → (sources' layers are read) → image_source_close
 *
 * One thread. The files are hostile: sizes are checked before memory is taken, and JSON is what its
 * digest says before it is parsed.
 */
#ifndef TORPOR_CONTAINER_IMAGE_SOURCE_H
#define TORPOR_CONTAINER_IMAGE_SOURCE_H

#include <limits.h>

#include "container/image_config.h"
#include "container/layer_read.h"
#include "format/container.h"

enum image_source_kind {
	IMAGE_FOLDER, /* a root file system in a folder */
	IMAGE_TAR,    /* one in a tar */
	IMAGE_OCI,    /* a layout in a folder */
	IMAGE_OCI_ARCHIVE,
	IMAGE_DOCKER_ARCHIVE,
	IMAGE_REGISTRY, /* docker://, which is not on this host */
};

struct image_name {
	enum image_source_kind kind;
	char path[PATH_MAX]; /* IMAGE_REGISTRY: the whole text */
	char tag[256];	     /* "": none is named */
};

/* Split a source as root.h lists them. Looks which files there are, to tell FILE:TAG from a name
 * with a colon. Returns 0, or -EINVAL with ERR_USAGE. */
int image_name_parse(struct image_name *name, const char *text, struct err *err);

struct image_source {
	struct container container; /* where the blobs are */
	int fd;			    /* IMAGE_TAR: the file */
	struct image_config config;
	char manifest[DIGEST_TEXT_SIZE]; /* "": it has none */
	struct layer_source *layer;	 /* lowest first; owned; they borrow descriptors */
	unsigned layers;
};

#define cleanup_image_source __attribute__((cleanup(image_source_close)))

/* Not IMAGE_FOLDER and IMAGE_REGISTRY. Returns 0, or -errno with *err set, and nothing is open:
 * ERR_NOT_FOUND for a file or tag that is not there, ERR_USAGE when the layout holds several images
 * and none is named, ERR_INTEGRITY, ERR_INCOMPATIBLE when none is for this architecture, or
 * ERR_FAILED with the errno of a system call. */
int image_source_open(struct image_source *source, const struct image_name *name, struct err *err);
/* Also one that is all zero. */
void image_source_close(struct image_source *source);

#endif
