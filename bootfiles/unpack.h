/* A file in memory, unpacked when it is compressed (xz, zstd, gzip), with a NUL behind it. */
#ifndef TORPOR_BOOTFILES_UNPACK_H
#define TORPOR_BOOTFILES_UNPACK_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* *data is freed by the caller. Returns 0; -EFBIG when it is larger than `max`; -EINVAL with
 * ERR_FAILED for a compressed file that is damaged, or without libarchive; -ENOMEM; or what open(2)
 * and read(2) gave. */
int unpack_file(const char *path, size_t max, uint8_t **data, size_t *len, struct err *err);

#endif
