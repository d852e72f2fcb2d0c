/* A run of bytes in an open file: the kernel in its file, a blob inside an archive. */
#ifndef TORPOR_BASE_BLOB_H
#define TORPOR_BASE_BLOB_H

#include <stdint.h>

#include "base/err.h"

struct arrival;

struct blob {
	int fd; /* borrowed */
	uint64_t offset;
	uint64_t len;
	/* The file is still arriving (arrival.h): its bytes are there when blob_read() has given
	 * them, and not before. NULL: it is all there. Borrowed. */
	struct arrival *arrival;
};

/* Any thread. Both wait for what has not arrived. They return 0; -EINVAL with ERR_INTEGRITY for a
 * range outside the blob, a file that ends early or a blob of more than `max` bytes; -ENOMEM; what
 * pread(2) gave; or what arrival_await() gave: -EIO or -ECANCELED. */

/* Read exactly `len` bytes at `at` within the blob. */
int blob_read(const struct blob *blob, uint64_t at, void *dst, uint64_t len, struct err *err);

/* Read all of it, at most `max` bytes, into memory that the caller frees: *data, blob->len bytes
 * and a NUL. NULL on error. */
int blob_read_all(const struct blob *blob, uint64_t max, uint8_t **data, struct err *err);

#endif
