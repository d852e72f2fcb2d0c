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

/* A member that is given, and arrives, maybe, while it is read. A layout's has its name in there.
 * One that stands alone, without a name, is a tar with the layout in it. */
struct container_member {
	char *name;	  /* "index.json"; borrowed */
	struct blob blob; /* fd and arrival borrowed */
};

struct container {
	int fd; /* the tar, or the folder; -1: members are given */
	bool folder;
	struct tar tar;
	struct arrival *arrival; /* of the tar; borrowed */
	int *members;		 /* folder: opened files, owned */
	size_t nmembers;
	const struct container_member *given; /* borrowed */
	size_t ngiven;
};

/* The folder of "oci:FOLDER"; NULL: the path is of another kind. */
const char *container_folder(const char *path);
/* `path` is a file, a folder, or "oci:" before a folder. */
int container_open(struct container *c, const char *path, struct err *err);
/* The same of an open file or folder, which is taken, also on failure. */
int container_take(struct container *c, int fd, struct err *err);
/* The same of n > 0 members that stay the caller's and longer than the container. A tar is walked,
 * which waits for its headers: also what arrival_await() returned. */
int container_give(struct container *c, const struct container_member *members, size_t n,
		   struct err *err);
void container_close(struct container *c);
/* Find a member by its name inside the layout. -ENOENT with ERR_INTEGRITY when it is not there; in
 * a folder also -EINVAL (ERR_INTEGRITY) for what is no regular file, -ENOMEM, the errno of
 * openat(2).
 */
int container_find(struct container *c, const char *name, struct blob *blob, struct err *err);

#endif
