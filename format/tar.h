/*
 * Reading the headers of a tar file (POSIX.1-2017 pax interchange format, "ustar" included).
 *
 * Only what an OCI layout in a tar can hold is accepted: regular files, symbolic links, folders and
 * pax headers. Nothing is extracted, so names are just names ("./" in front is dropped). The bytes
 * are hostile: counts, names and sizes are bounded, and what does not add up to exactly the file
 * (duplicates, truncation, anything but zeros behind the end) is ERR_INTEGRITY. One thread.
 */
#ifndef TORPOR_FORMAT_TAR_H
#define TORPOR_FORMAT_TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define TAR_BLOCK	512u
#define TAR_MAX_ENTRIES 4096u

/* Entries under this name hold zeros, so that the payload behind them is aligned; they may
 * repeat. */
#define TAR_FILLER ".align/"

enum tar_type {
	TAR_FILE,
	TAR_SYMLINK,
	TAR_FOLDER,
};

struct arrival;

struct tar_entry {
	char *name; /* owned */
	enum tar_type type;
	uint64_t offset; /* of the payload in the file */
	uint64_t size;	 /* of the payload */
};

struct tar {
	struct tar_entry *entries; /* owned, in the order of the file */
	size_t nentries;
};

/* Walk all headers of `fd`, a regular file; waits for each when it is still arriving (`arrival`, or
 * NULL). A file that does not begin with a tar header is refused
 * as "not a torpor file". Returns 0; -EINVAL with ERR_INTEGRITY; -ENOMEM; or the errno of fstat(2)
 * and pread(2); or what arrival_await() gave. */
int tar_read(struct tar *tar, int fd, struct arrival *arrival, struct err *err);
/* The same of the first `have` bytes of the file: the entries whose headers lie there. *next is where the
 * header of the next one lies. What is wrong ends the walk, and is left to tar_read(). Returns 0 or
 * -ENOMEM. */
int tar_read_front(struct tar *tar, int fd, uint64_t have, uint64_t *next, struct err *err);
void tar_free(struct tar *tar);

/* The regular file of that name, or NULL. */
const struct tar_entry *tar_find(const struct tar *tar, const char *name);

bool tar_is_filler(const struct tar_entry *entry);

#endif
