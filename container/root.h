/*
 * From a container image, a folder or a tar file to the root file system of a machine: a file with
 * an ext4 file system, which is made without root, and whose bytes depend on nothing but the
 * contents. The same digests in, the same bytes out.
 *
 *     container_root → … → container_root_free
 *
 * Sources:
 *
 *     docker://HOST/NAME:TAG      an image of a registry, which the caller's `pull` brings
 *     oci:FOLDER[:TAG]            an OCI image layout
 *     oci-archive:FILE[:TAG]      the same in a tar
 *     docker-archive:FILE[:NAME]  what `docker save` writes (not: layers that are links to others)
 *     tar:FILE                    a root file system in a tar: plain, gzip or zstd
 *     FOLDER                      a root file system in a folder
 *
 * An image is read in a child in a reader's sandbox, which is given the output as a descriptor:
 * nothing in an image can reach a file of this host. Calls fork(2): one thread, the process's only
 * one. SIGCHLD is not ignored.
 */
#ifndef TORPOR_CONTAINER_ROOT_H
#define TORPOR_CONTAINER_ROOT_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "container/image_config.h"
#include "format/crypto/digest.h"

#define CONTAINER_ROOT_UUID 16u

/* Whether the text is a source of the first five kinds; a FOLDER is any other text that names one.
 */
bool container_source_has_scheme(const char *source);

struct container_root_params {
	const char *source;
	/* Bring the image of a docker:// source to this host: `path` is then the folder of an OCI
	 * layout with this image alone. Returns 0 or -errno with *err set. NULL: such a source is
	 * refused. */
	int (*pull)(void *opaque, const char *reference, char path[PATH_MAX], struct err *err);
	void *opaque;
	int fd;		      /* the output: an empty regular file, open for reading and writing */
	uint64_t max_bytes;   /* limit on the contents of all layers; 0: 32 GiB */
	uint64_t max_entries; /* limit on the entries of all layers; 0: 2^20 */
	uint64_t spare; /* bytes that the file system has free in the end: ext4_image_spare() */
};

struct container_root {
	struct image_config config;	 /* empty for FOLDER and tar: */
	char manifest[DIGEST_TEXT_SIZE]; /* of the image; "" for FOLDER, tar: and docker-archive: */
	char (*layer)[DIGEST_TEXT_SIZE]; /* of the layers, unpacked, lowest first; owned */
	unsigned layers;		 /* FOLDER: 0 */
	uint64_t size;			 /* of the file system, which is the file's */
	uint64_t files;			 /* inodes in use */
	uint8_t uuid[CONTAINER_ROOT_UUID]; /* derived from the contents and `spare` */
};

#define cleanup_container_root __attribute__((cleanup(container_root_free)))

/*
 * Returns 0, or -errno with *err set, and nothing is owned:
 *
 *     ERR_USAGE         a source of no known form, or docker:// without `pull`
 *     ERR_NOT_FOUND     no such file or folder, no such tag in the layout
 *     ERR_INTEGRITY     contents that are not what their digest says, a malformed image or tar, or
 *                       one beyond a limit
 *     ERR_INCOMPATIBLE  no image for this architecture
 *     ERR_FAILED        libarchive is not there, no memory, the errno of a system call
 *
 * and what `pull` gave. The contents of the output are then of no use.
 */
int container_root(const struct container_root_params *p, struct container_root *out,
		   struct err *err);
/* Also one that is all zero. */
void container_root_free(struct container_root *root);

#endif
