/*
 * Making the headers of a tar file (POSIX.1-2017, pax, "ustar Interchange Format"). Where they are
 * put is the caller's business, because payloads must be aligned. Pure; cannot fail.
 */
#ifndef TORPOR_FORMAT_TAR_HEADER_H
#define TORPOR_FORMAT_TAR_HEADER_H

#include <stdint.h>

#include "format/tar.h"

/* A regular file of `size` bytes, or a symbolic link to `link` when that is not NULL. Owner, times
 * and so on are zero: one member has one header. `name` and `link` have at most 100 bytes, as all
 * names in a .torpor file do; longer ones are a fault of the caller (assert). The bytes are those
 * of libarchive, which a unit test compares. */
void tar_header_make(const char *name, const char *link, uint64_t size, uint8_t header[TAR_BLOCK]);

#endif
