/*
 * Root file systems that were made before (container/root.h), in a folder of the user's cache: each
 * a file KEY.ext4, which is used as it lies there and never written again, and KEY.json beside it
 * with what container_root() said of it.
 *
 *     root_key_make → root_cache_find, and when there is none
 *                     root_cache_begin → container_root → root_cache_keep → root_cache_leave
 *
 * The key is of what the source holds: of a layout its index, which names all else by digest; of a
 * file its inode, size and times; of a folder those of all that is in it, with paths, modes and
 * owners. A file or folder that changed within the last two seconds may change again without its
 * times showing it, and is made anew.
 *
 * A file whose machine runs may be removed: the machine has it open. Functions return 0 or -errno
 * with *err set. One thread.
 */
#ifndef TORPOR_CONTAINER_ROOT_CACHE_H
#define TORPOR_CONTAINER_ROOT_CACHE_H

#include "base/tempfile.h"
#include "container/root.h"

struct root_key {
	char hex[2 * DIGEST_SIZE + 1];
	bool fresh;    /* it changed just now */
	unsigned kind; /* enum image_source_kind */
	char path[PATH_MAX], tag[256];
	uint64_t spare;
};

/* `source` is that of container_root_params, and on this host; `spare` is theirs. Returns 0,
 * -EINVAL with ERR_USAGE for what is no such source, or the errno of a system call on it. */
int root_key_make(struct root_key *key, const char *source, uint64_t spare, struct err *err);

/* Returns 1: *fd is open for reading, and *out is the caller's; 0: there is none that is whole. */
int root_cache_find(const char *folder, const struct root_key *key, struct container_root *out,
		    int *fd);

/* Make the folder if need be, and a file in it for container_root(): out->fd. It is gone with
 * tempfile_close() unless it was kept. Returns 0, the errno of mkdir(2), or what tempfile_open()
 * gives. */
int root_cache_begin(struct tempfile *out, const char *folder, const struct root_key *key,
		     struct err *err);
/* It is made: keep it, unless the source has changed meanwhile, which is no error. Returns 0, what
 * tempfile_publish() gives, or -ENOMEM. */
int root_cache_keep(struct tempfile *t, const char *folder, const struct root_key *key,
		    const struct container_root *root, struct err *err);

struct root_swept {
	unsigned roots;
	uint64_t bytes;
};

/* Remove those whose source is gone or holds something else now. Returns 0, or the errno of
 * opendir(3). */
int root_cache_sweep(const char *folder, struct root_swept *swept, struct err *err);

#endif
