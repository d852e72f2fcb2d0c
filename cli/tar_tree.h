/*
 * Trees of files as tar streams, by libarchive (archive_api.h).
 *
 * What comes out of a guest is hostile: an entry is written only below the name that was asked for,
 * never through a symbolic link, "..", or an absolute name; devices and pipes are left out; the
 * bits that change a user are dropped; owner and attributes are ours.
 *
 * One thread. Functions return 0, or -ENOMEM, -EINVAL with ERR_FAILED (libarchive's words) or
 * ERR_INTEGRITY (an entry that is refused), or what the stream's own function returned.
 */
#ifndef TORPOR_CLI_TAR_TREE_H
#define TORPOR_CLI_TAR_TREE_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* The next bytes of a stream, valid until the next call: their number, 0 at the end, or an error.
 */
typedef ssize_t tar_read_fn(void *opaque, const uint8_t **data, struct err *err);
/* Returns 0 or an error. */
typedef int tar_write_fn(void *opaque, const uint8_t *data, size_t len, struct err *err);

/* Unpack into the current folder what is called `from` in the stream, as `to`; "." for both: all
 * of it. *entries: how many there were. */
int tar_unpack(tar_read_fn *read, void *opaque, const char *from, const char *to, unsigned *entries,
	       struct err *err);
/* Pack the file or tree at `path`, calling it `name`, as owned by root. */
int tar_pack(const char *path, const char *name, tar_write_fn *write, void *opaque,
	     struct err *err);

#endif
