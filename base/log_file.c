/* See log_file.h. */
#include "base/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/num.h"

#define OPEN_FLAGS (O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY)

int log_file_open(struct log_file *f, const char *path, uint64_t max, unsigned flags,
		  struct err *err)
{
	cleanup_free char *copy = strdup(path);
	cleanup_fd int fd = -1;
	struct stat st;

	assert(f->fd < 0 && max > LOG_FILE_TAIL);
	if (copy == NULL)
		return err_sys(err, ENOMEM, "open %s", path);
	fd = open(path, OPEN_FLAGS | (flags & LOG_FILE_FRESH ? O_TRUNC : 0), 0600);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, errno, "open %s", path);
	/* A pipe that nobody reads would hold up who writes. */
	if (S_ISFIFO(st.st_mode))
		return err_set(err, ERR_FAILED, "open %s: it is a pipe", path);
	f->fd = take_fd(&fd);
	f->size = (uint64_t)st.st_size;
	f->max = max;
	f->flags = flags;
	f->path = take_ptr(copy);
	return 0;
}

/* With the lock. */
static void log_file_rotate(struct log_file *f)
{
	cleanup_free char *old = NULL;

	if (asprintf(&old, "%s.1", f->path) < 0)
		old = NULL;
	close(f->fd);
	if (old != NULL)
		(void)rename(f->path, old);
	f->fd = open(f->path, OPEN_FLAGS | O_TRUNC, 0600);
	f->size = 0;
}

/* With the lock. */
static void drop_head(struct log_file *f)
{
	uint64_t len = u64_min(f->size, LOG_FILE_TAIL);
	cleanup_free uint8_t *tail = malloc(len);

	if (tail != NULL && io_pread(f->fd, tail, len, f->size - len) < 0)
		len = 0;
	if (ftruncate(f->fd, 0) < 0)
		return; /* then there is no room */
	f->size = 0;
	if (tail != NULL && io_write(f->fd, tail, len) == 0)
		f->size = len;
}

void log_file_write(struct log_file *f, const void *data, size_t len)
{
	const uint8_t *at = data;

	pthread_mutex_lock(&f->lock);
	if (f->fd >= 0 && len > 2 * f->max) {
		at += len - 2 * f->max;
		len = 2 * f->max;
	}
	while (f->fd >= 0 && len > 0) {
		size_t part = (size_t)u64_min(len, f->max);
		ssize_t put;

		if (f->size > 0 && f->size + part > f->max) {
			if (f->flags & LOG_FILE_ROTATES)
				log_file_rotate(f);
			else
				drop_head(f);
			part = (size_t)u64_min(part, f->max - f->size);
		}
		put = write(f->fd, at, part);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			break;
		f->size += (uint64_t)put;
		at += put;
		len -= (size_t)put;
	}
	pthread_mutex_unlock(&f->lock);
}

void log_file_close(struct log_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	free(f->path);
	f->path = NULL;
	f->fd = -1;
}
