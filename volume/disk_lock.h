/*
 * The lock that keeps two users off one disk file, as QEMU has it (its block/file-posix.c), so that
 * QEMU and torpor refuse each other: open file description locks (fcntl(2), F_OFD_SETLK) on single
 * bytes, which need not exist. Byte 100 + p is locked shared by whoever uses permission p, byte
 * 200 + p by whoever does not let others use it. Looking at the bytes of others after taking one's
 * own tells a conflict. The permissions: 0 read, 1 write, 3 resize.
 *
 * The lock belongs to the open file, with all its duplicates and in all processes that have
 * inherited it, and goes with the last of them. Any thread.
 */
#ifndef TORPOR_VOLUME_DISK_LOCK_H
#define TORPOR_VOLUME_DISK_LOCK_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/err.h"

/* `write`: others may neither read nor write it. Else others may read it, too, if `share`. Returns
 * 0; -EBUSY with ERR_FAILED when somebody uses it in a way that does not go with this; or the errno
 * of fcntl(2): EINVAL or EOPNOTSUPP where the file system has no such locks. After an error nothing
 * is locked. */
int disk_lock(int fd, bool write, bool share, struct err *err);

/* How others use a file now. */
struct disk_lock_state {
	bool read;
	bool written;
};

/* Without taking a lock. Returns 0 or the errno of fcntl(2). */
int disk_lock_look(int fd, struct disk_lock_state *state, struct err *err);

/* A process that has this file locked, as far as /proc tells, with its name in `comm`: 0 when none is
 * found. It cannot find a torpor machine, which hides its descriptors. Cannot fail. */
pid_t disk_lock_holder(const struct stat *file, char comm[32]);

#endif
