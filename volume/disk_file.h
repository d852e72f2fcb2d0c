/*
 * A file or block device that is to be a machine's disk: opened for what the machine does with it,
 * checked and locked. One thread.
 */
#ifndef TORPOR_VOLUME_DISK_FILE_H
#define TORPOR_VOLUME_DISK_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/tempfile.h"

struct disk_file {
	int fd;	       /* owned; -1: none */
	int direct_fd; /* owned: the same file past the page cache; -1: not asked for */
	uint64_t size; /* bytes, a multiple of 512 */
};

#define DISK_FILE_NONE                                                                             \
	{                                                                                          \
		.fd = -1, .direct_fd = -1                                                          \
	}

/*
 * `write`: for writing, too. `share`: others may read it meanwhile, unless it is written. The lock
 * (disk_lock.h) lasts as long as the descriptor. A file that is only read is opened without one where
 * the file system has none.
 *
 * Returns 0; -EBUSY with ERR_FAILED when somebody else uses it; -EINVAL with ERR_FAILED for what is
 * no file or block device, is empty, is no whole number of sectors, is larger than 64 TiB, or
 * has the contents of another format than raw; or the errno of open(2), fstat(2), lseek(2) or
 * fcntl(2).
 */
int disk_file_open(struct disk_file *file, const char *path, bool write, bool share,
		   struct err *err);
/* Open an open one once more, past the page cache (O_DIRECT). Returns 0; -EOPNOTSUPP with ERR_FAILED when its file
 * system has no such thing, or not for the 512 bytes that a guest's sector has; -ENOMEM; or what open(2) or pread(2)
 * gave. */
int disk_file_open_direct(struct disk_file *file, const char *path, struct err *err);
/* Also one that was never opened. */
void disk_file_close(struct disk_file *file);

/* A new raw file of `size` bytes, all of it a hole, with mode 0600. Returns 0; -EEXIST or another
 * errno of open(2) or ftruncate(2), and then there is no new file; -EINVAL with ERR_USAGE for a size that no disk
 * has. */
int disk_file_create(const char *path, uint64_t size, struct err *err);

/* One that a program fills first (tool.h): it has no name yet, or a temporary one, and gets its own by
 * tempfile_publish_new(). Returns 0; -EEXIST; -EINVAL with ERR_USAGE for a size that no disk has; or what
 * tempfile_open() or ftruncate(2) gave. tempfile_close() in any case. */
int disk_file_begin(struct tempfile *t, const char *path, uint64_t size, struct err *err);

#endif
