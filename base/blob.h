/* A run of bytes in an open file: the kernel in its file, a blob inside an archive. */
#ifndef TORPOR_BASE_BLOB_H
#define TORPOR_BASE_BLOB_H

#include <stdint.h>

#include "base/err.h"

struct blob {
	int fd; /* borrowed */
	uint64_t offset;
	uint64_t len;
};

/* Read exactly `len` bytes at `at` within the blob. A file that ends early is ERR_INTEGRITY. */
int blob_read(const struct blob *blob, uint64_t at, void *dst, uint64_t len, struct err *err);

#endif
