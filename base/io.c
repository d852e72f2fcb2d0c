/* See io.h. */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/num.h"

int io_pread(int fd, void *dst, uint64_t len, uint64_t at)
{
	for (uint64_t done = 0; done < len;) {
		ssize_t got = pread(fd, (char *)dst + done, len - done, (off_t)(at + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -ENODATA;
		done += (uint64_t)got;
	}
	return 0;
}

uint64_t io_pread_ready(int fd, void *dst, uint64_t len, uint64_t at)
{
	const struct iovec iov = {.iov_base = dst, .iov_len = len};

	return io_preadv_ready(fd, &iov, 1, at);
}

uint64_t iov_bytes(const struct iovec *iov, unsigned n)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < n; i++)
		bytes += iov[i].iov_len;
	return bytes;
}

void iov_skip(struct iovec **iov, unsigned *n, uint64_t len)
{
	while (*n > 0 && len >= (*iov)->iov_len) {
		len -= (*iov)->iov_len;
		(*iov)++;
		(*n)--;
	}
	if (*n > 0) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + len;
		(*iov)->iov_len -= len;
	}
}

int io_preadv(int fd, struct iovec *iov, unsigned n, uint64_t at)
{
	for (iov_skip(&iov, &n, 0); n > 0;) {
		ssize_t got = preadv(fd, iov, (int)n, (off_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -ENODATA;
		at += (uint64_t)got;
		iov_skip(&iov, &n, (uint64_t)got);
	}
	return 0;
}

uint64_t io_preadv_ready(int fd, const struct iovec *iov, unsigned n, uint64_t at)
{
	ssize_t got = preadv2(fd, iov, (int)n, (off_t)at, RWF_NOWAIT);

	return got > 0 ? (uint64_t)got : 0;
}

int io_pwritev(int fd, struct iovec *iov, unsigned n, uint64_t at)
{
	for (iov_skip(&iov, &n, 0); n > 0;) {
		ssize_t put = pwritev(fd, iov, (int)n, (off_t)at);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return put < 0 ? -errno : -EIO;
		at += (uint64_t)put;
		iov_skip(&iov, &n, (uint64_t)put);
	}
	return 0;
}

int io_pwrite(int fd, const void *src, uint64_t len, uint64_t at)
{
	for (uint64_t done = 0; done < len;) {
		ssize_t put = pwrite(fd, (const char *)src + done, len - done, (off_t)(at + done));

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return put < 0 ? -errno : -EIO;
		done += (uint64_t)put;
	}
	return 0;
}

int io_pwrite_zeros(int fd, uint64_t len, uint64_t at)
{
	static uint8_t zeros[65536]; /* not const: it would take its room in the binary */

	for (uint64_t done = 0, part; done < len; done += part) {
		int ret;

		part = u64_min(len - done, sizeof(zeros));
		ret = io_pwrite(fd, zeros, part, at + done);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* A descriptor may be non-blocking because another process that shares it made it so. */
static bool wait_for_room(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLOUT};

	return poll(&pfd, 1, -1) >= 0 || errno == EINTR;
}

int io_write(int fd, const void *src, uint64_t len)
{
	const char *at = src;

	while (len > 0) {
		ssize_t put = write(fd, at, len);

		if (put < 0 && (errno == EINTR || (errno == EAGAIN && wait_for_room(fd))))
			continue;
		if (put <= 0)
			return put < 0 ? -errno : -EIO;
		at += put;
		len -= (uint64_t)put;
	}
	return 0;
}

int64_t io_read_upto(int fd, void *dst, uint64_t max)
{
	uint64_t done = 0;

	while (done < max) {
		ssize_t got = read(fd, (char *)dst + done, max - done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		done += (uint64_t)got;
	}
	return (int64_t)done;
}

int io_read_file(const char *path, uint64_t max, char **text, size_t *len)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	cleanup_free char *data = NULL;
	int64_t got;

	if (fd < 0)
		return -errno;
	data = malloc(max + 1);
	if (data == NULL)
		return -ENOMEM;
	got = io_read_upto(fd, data, max + 1);
	if (got < 0)
		return (int)got;
	if ((uint64_t)got > max)
		return -EFBIG;
	data[got] = '\0';
	*len = (size_t)got;
	*text = take_ptr(data);
	return 0;
}
