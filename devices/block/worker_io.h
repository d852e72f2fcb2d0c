/*
 * Reading and writing of files by workers (workers.h): as base/io.h, and what may wait for a disk is told
 * before. Any thread; on one that is no worker they are base/io.h's.
 */
#ifndef TORPOR_DEVICES_BLOCK_WORKER_IO_H
#define TORPOR_DEVICES_BLOCK_WORKER_IO_H

#include <stdint.h>
#include <sys/uio.h>

/* What the page cache has is read without a word. Returns what io_pread() does. */
int worker_pread(int fd, void *dst, uint64_t len, uint64_t at);
/* For memory in pieces; `iov` is used up. */
int worker_preadv(int fd, struct iovec *iov, unsigned n, uint64_t at);
int worker_pwritev(int fd, struct iovec *iov, unsigned n, uint64_t at);
/* Through the page cache, which seldom waits. Returns what io_pwrite() does. */
int worker_pwrite(int fd, const void *src, uint64_t len, uint64_t at);

#endif
