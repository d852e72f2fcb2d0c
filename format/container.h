/*
 * What holds an OCI image layout: a tar file, or a folder of files. Either way, named members that
 * are runs of bytes. Blobs it gives borrow its descriptors, valid until container_close(). One
 * thread.
 *
 * container_open() and container_take() return 0; the errno of open(2) or fstat(2); or what
 * tar_read() returned. Then there is nothing to close.
 */
#ifndef TORPOR_FORMAT_CONTAINER_H
#define TORPOR_FORMAT_CONTAINER_H

#include <stdbool.h>

#include "base/blob.h"
#include "base/err.h"
#include "format/tar.h"

/* One of the members of a layout that is neither a file nor a folder (wire/wire.h). */
struct container_member {
	char *name; /* inside the layout */
	struct blob blob;
};

struct container {
	int fd; /* the tar, or the folder */
	bool folder;
	struct tar tar;
	int *members; /* folder: opened files, owned */
	size_t nmembers;
};

/* `path` is a file, a folder, or "oci:" before a folder. */
int container_open(struct container *c, const char *path, struct err *err);
/* The same of an open file or folder, which is taken, also on failure. */
int container_take(struct container *c, int fd, struct err *err);
void container_close(struct container *c);
/* Find a member by its name inside the layout. -ENOENT with ERR_INTEGRITY when it is not there; in
 * a folder also -EINVAL (ERR_INTEGRITY) for what is no regular file, -ENOMEM, the errno of
 * openat(2).
 */
int container_find(struct container *c, const char *name, struct blob *blob, struct err *err);

#endif
