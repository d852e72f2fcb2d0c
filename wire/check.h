/*
 * Files that have come: their digests, and what is done about a wrong one. Any thread. Functions
 * return what is said, or -errno with *err set: what pread(2) and pwrite(2) gave, or -ENOMEM.
 */
#ifndef TORPOR_WIRE_CHECK_H
#define TORPOR_WIRE_CHECK_H

#include "base/arrival.h"
#include "store/cas_arriving.h"

/* Returns 1 when the file has that digest; 0 when it has not, or *stop was set. */
int check_digest(int fd, uint64_t size, const char *digest, const bool *stop, struct err *err);
/* A file without a name, of that size, beside the others. Returns the descriptor, or what
 * tempfile_unnamed() gives. */
int check_copy_open(const struct cas_arriving *folder, uint64_t size, struct err *err);
/* Write what differs in `copy` over it, block by block; others are not touched. Returns 0. */
int check_replace(int fd, int copy, struct arrival *a, struct err *err);

#endif
