/* Whole reads and writes: interrupted and short calls are continued. Any thread. */
#ifndef TORPOR_BASE_IO_H
#define TORPOR_BASE_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Returns 0; -ENODATA when the file ends before `at` + `len`; or what pread(2) gave. */
int io_pread(int fd, void *dst, uint64_t len, uint64_t at);
/* As much of it as the page cache has, from `at` on: how many bytes. 0 also when the file cannot tell, and
 * after an error, which io_pread() will give. Waits for no disk (RWF_NOWAIT). */
uint64_t io_pread_ready(int fd, void *dst, uint64_t len, uint64_t at);
/* The same for memory in pieces. `iov` is used up, n is at most IOV_MAX. */
int io_preadv(int fd, struct iovec *iov, unsigned n, uint64_t at);
uint64_t io_preadv_ready(int fd, const struct iovec *iov, unsigned n, uint64_t at);
int io_pwritev(int fd, struct iovec *iov, unsigned n, uint64_t at);
/* Bytes in all of the pieces. */
uint64_t iov_bytes(const struct iovec *iov, unsigned n);
/* Leave out the first `len` bytes of them. */
void iov_skip(struct iovec **iov, unsigned *n, uint64_t len);
/* Returns 0; -EIO when pwrite(2) writes nothing; or what it gave. */
int io_pwrite(int fd, const void *src, uint64_t len, uint64_t at);
/* The same of zeros. */
int io_pwrite_zeros(int fd, uint64_t len, uint64_t at);

/* Write at the position of the file, or to a pipe or socket; waits for room in a non-blocking one.
 * Returns 0; -EIO when write(2) writes nothing; or what write(2) or poll(2) gave. */
int io_write(int fd, const void *src, uint64_t len);

/* Read from the position of the file, or from a pipe, up to its end or `max` bytes. Returns how
 * many there were, or what read(2) gave: -EAGAIN, too, for it does not wait at a non-blocking one.
 */
int64_t io_read_upto(int fd, void *dst, uint64_t max);
/* All of a file, of at most `max` bytes, with a NUL behind it: *text is the caller's. Returns 0; -EFBIG
 * when it is longer; -ENOMEM; or what open(2) or read(2) gave. */
int io_read_file(const char *path, uint64_t max, char **text, size_t *len);

#endif
