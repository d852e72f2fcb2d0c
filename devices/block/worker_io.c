/* See worker_io.h. */
#include "devices/block/worker_io.h"

#include "base/io.h"
#include "devices/block/workers.h"

int worker_pread(int fd, void *dst, uint64_t len, uint64_t at)
{
	const uint64_t ready = io_pread_ready(fd, dst, len, at);

	if (ready == len)
		return 0;
	worker_waits();
	return io_pread(fd, (uint8_t *)dst + ready, len - ready, at + ready);
}

int worker_preadv(int fd, struct iovec *iov, unsigned n, uint64_t at)
{
	const uint64_t ready = io_preadv_ready(fd, iov, n, at);

	iov_skip(&iov, &n, ready);
	if (n == 0)
		return 0;
	worker_waits();
	return io_preadv(fd, iov, n, at + ready);
}

int worker_pwritev(int fd, struct iovec *iov, unsigned n, uint64_t at)
{
	worker_may_wait();
	return io_pwritev(fd, iov, n, at);
}

int worker_pwrite(int fd, const void *src, uint64_t len, uint64_t at)
{
	worker_may_wait();
	return io_pwrite(fd, src, len, at);
}
