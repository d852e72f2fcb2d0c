/* Whole reads and writes: interrupted and short calls go on. Any thread. */
#ifndef TORPOR_BASE_IO_H
#define TORPOR_BASE_IO_H

#include <stdint.h>

/* 0 or -errno; io_pread: -ENODATA when the file ends before that. */
int io_pread(int fd, void *dst, uint64_t len, uint64_t at);
int io_pwrite(int fd, const void *src, uint64_t len, uint64_t at);

/* Write on where the file or pipe stands, waiting for room if need be: 0 or -errno. */
int io_write(int fd, const void *src, uint64_t len);

/* Read on, to the end of a file or pipe or until `max` bytes are there: their number, or -errno. */
int64_t io_read_upto(int fd, void *dst, uint64_t max);

#endif
