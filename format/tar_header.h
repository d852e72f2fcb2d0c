/*
 * Making tar headers. libarchive makes them, so that every tar reader that knows libarchive's files
 * knows ours; where they are put is our business, because payloads must be aligned.
 */
#ifndef TORPOR_FORMAT_TAR_HEADER_H
#define TORPOR_FORMAT_TAR_HEADER_H

#include <stdint.h>

#include "format/tar.h"

/* A regular file of `size` bytes, or a symbolic link when `link` is not NULL. Owner, times and so
 * on are zero: one header for one member. Names that do not fit one block are refused. */
int tar_header_make(const char *name, const char *link, uint64_t size, uint8_t header[TAR_BLOCK],
		    struct err *err);

#endif
