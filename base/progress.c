/* See progress.h. */
#include "base/progress.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/io.h"
#include "base/num.h"

#define CHUNK 4096u /* PIPE_BUF: a pipe that is writable takes it without waiting (pipe(7)) */

int progress_init(struct progress *p, struct err *err)
{
	*p = (struct progress){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
	return p->fd < 0 ? err_sys(err, errno, "eventfd") : 0;
}

void progress_free(struct progress *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
}

void progress_expect(struct progress *p, uint64_t bytes)
{
	if (p != NULL)
		atomic_fetch_add(&p->expected, bytes);
}

void progress_skip(struct progress *p, uint64_t bytes)
{
	if (p != NULL)
		atomic_fetch_sub(&p->expected, bytes);
}

void progress_add(struct progress *p, uint64_t bytes)
{
	if (p != NULL)
		atomic_fetch_add(&p->done, bytes);
}

unsigned progress_percent(const struct progress *p)
{
	uint64_t done = atomic_load(&p->done), expected = atomic_load(&p->expected);

	return done >= expected ? 100 : (unsigned)((double)done * 100 / (double)expected);
}

void progress_cancel(struct progress *p)
{
	atomic_store(&p->cancelled, true);
	(void)eventfd_write(p->fd, 1);
}

void progress_commit(struct progress *p)
{
	if (p != NULL)
		atomic_store(&p->committed, true);
}

bool progress_is_committed(const struct progress *p)
{
	return atomic_load(&p->committed);
}

bool progress_is_cancelled(const struct progress *p)
{
	return p != NULL && atomic_load(&p->cancelled);
}

int progress_check(const struct progress *p, struct err *err)
{
	if (!progress_is_cancelled(p))
		return 0;
	err_set(err, ERR_FAILED, "it was cancelled");
	return -ECANCELED;
}

/* As much as `fd` takes at once. Pipes have this since Linux 6.4, and few file systems do. */
static ssize_t write_at_once(int fd, const void *src, uint64_t len)
{
	struct iovec piece = {.iov_base = (void *)src, .iov_len = len};

	return pwritev2(fd, &piece, 1, -1, RWF_NOWAIT);
}

/* Wait until `fd` takes something, and write what it then takes without waiting. 0: cancelled. */
static ssize_t write_when_writable(const struct progress *p, int fd, const void *src, uint64_t len)
{
	struct pollfd fds[] = {
		{.fd = fd, .events = POLLOUT},
		{.fd = p->fd, .events = POLLIN},
	};

	if (poll(fds, ARRAY_SIZE(fds), -1) < 0)
		return -1;
	return fds[0].revents != 0 ? write(fd, src, u64_min(len, CHUNK)) : 0;
}

int progress_write(const struct progress *p, int fd, const void *src, uint64_t len)
{
	const uint8_t *at = src;

	if (p == NULL)
		return io_write(fd, src, len);
	while (len > 0) {
		ssize_t wrote;

		if (progress_is_cancelled(p))
			return -ECANCELED;
		wrote = write_at_once(fd, at, len);
		if (wrote < 0 && (errno == EAGAIN || errno == EOPNOTSUPP))
			wrote = write_when_writable(p, fd, at, len);
		if (wrote < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (wrote > 0) {
			at += wrote;
			len -= (uint64_t)wrote;
		}
	}
	return 0;
}
