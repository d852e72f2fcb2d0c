/*
 * The digest of what a raw disk holds, by which a saved machine knows a disk that is not in its file
 * (torpor.5, "Disks outside of the file"). It depends on the bytes alone: not on where holes are, nor on
 * times, names or the file system.
 *
 * SHA-256 over the size in bytes (le64), and then, for each frame of 64 KiB that is not zero, in
 * ascending order, its number (le64) and the SHA-256 of its bytes; zeros follow the disk's end.
 */
#ifndef TORPOR_FORMAT_IMAGE_DISK_DIGEST_H
#define TORPOR_FORMAT_IMAGE_DISK_DIGEST_H

#include "base/progress.h"
#include "format/crypto/digest.h"

/* `size` bytes of `fd`, which is open for reading; holes are not read. Several threads read and
 * hash; the caller waits. `progress`: NULL, or what may cancel it; nothing is counted. Returns 0;
 * -ECANCELED; -ENODATA with ERR_FAILED when the file is shorter; -ENOMEM; the errno of pread(2); or
 * what digest_new() gives. */
int disk_digest(int fd, uint64_t size, const struct progress *progress, char text[DIGEST_TEXT_SIZE],
		struct err *err);

#endif
