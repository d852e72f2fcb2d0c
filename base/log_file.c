/* See log_file.h. */
#include "base/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/num.h"

#define LOG_TIMES_RECORD 16u
#define LOG_TIMES_MAGIC	 UINT64_C(0x0173656d69746c74) /* "tltimes", 1 */

#define OPEN_FLAGS (O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY)

static bool times_are_of(int fd, ino_t log)
{
	uint8_t head[LOG_TIMES_RECORD];

	return pread(fd, head, sizeof(head), 0) == (ssize_t)sizeof(head) &&
	       le_get64(head) == LOG_TIMES_MAGIC && le_get64(head + 8) == log;
}

/* Begin the times of the log anew, or go on with those that are of this file. They may be missing. */
static void times_open(struct log_file *f)
{
	const int fresh = f->flags & LOG_FILE_FRESH || f->size == 0 ? O_TRUNC : 0;
	uint8_t head[LOG_TIMES_RECORD];
	char path[PATH_MAX];
	struct stat st;

	if (!(f->flags & LOG_FILE_TIMES) || fstat(f->fd, &st) < 0 ||
	    snprintf(path, sizeof(path), "%s.times", f->path) >= (int)sizeof(path))
		return;
	f->times_fd =
		open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | fresh, 0600);
	f->times_ns = 0;
	f->in_line = false;
	if (f->times_fd < 0)
		return;
	if (times_are_of(f->times_fd, st.st_ino) && fstat(f->times_fd, &st) == 0) {
		f->times_size = (uint64_t)st.st_size / LOG_TIMES_RECORD * LOG_TIMES_RECORD;
		return;
	}
	le_put64(head, LOG_TIMES_MAGIC);
	le_put64(head + 8, st.st_ino);
	f->times_size = LOG_TIMES_RECORD;
	if (ftruncate(f->times_fd, 0) < 0 || io_pwrite(f->times_fd, head, sizeof(head), 0) < 0)
		close(take_fd(&f->times_fd));
}

/* With the lock, before the bytes are written: the first line that begins in them. */
static void times_note(struct log_file *f, const uint8_t *data, size_t len)
{
	const uint8_t *newline = f->in_line ? memchr(data, '\n', len) : NULL;
	const size_t begin = newline != NULL ? (size_t)(newline - data) + 1 : 0;
	uint8_t record[LOG_TIMES_RECORD];
	uint64_t now;
	bool begins;

	if (f->times_fd < 0)
		return;
	begins = !f->in_line || (newline != NULL && begin < len);
	f->in_line = data[len - 1] != '\n';
	if (!begins)
		return;
	now = clock_realtime_ns();
	if (now >= f->times_ns && now - f->times_ns < LOG_TIMES_NS)
		return;
	le_put64(record, f->size + begin);
	le_put64(record + 8, now);
	/* Part of a record is written over by the next one. */
	if (pwrite(f->times_fd, record, sizeof(record), (off_t)f->times_size) !=
	    (ssize_t)sizeof(record))
		return;
	f->times_size += sizeof(record);
	f->times_ns = now;
}

static bool times_are_full(const struct log_file *f)
{
	return f->times_fd >= 0 && f->times_size + LOG_TIMES_RECORD > f->max;
}

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
	times_open(f);
	return 0;
}

static void keep_old(const char *path, const char *suffix)
{
	char from[PATH_MAX], to[PATH_MAX];

	if (snprintf(from, sizeof(from), "%s%s", path, suffix) < (int)sizeof(from) &&
	    snprintf(to, sizeof(to), "%s%s.1", path, suffix) < (int)sizeof(to))
		(void)rename(from, to);
}

/* With the lock. */
static void log_file_rotate(struct log_file *f)
{
	close(f->fd);
	keep_old(f->path, "");
	f->fd = open(f->path, OPEN_FLAGS | O_TRUNC, 0600);
	f->size = 0;
	if (!(f->flags & LOG_FILE_TIMES))
		return;
	if (f->times_fd >= 0)
		close(take_fd(&f->times_fd));
	keep_old(f->path, ".times");
	if (f->fd >= 0)
		times_open(f);
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

		if (f->size > 0 && (f->size + part > f->max || times_are_full(f))) {
			if (f->flags & LOG_FILE_ROTATES)
				log_file_rotate(f);
			else
				drop_head(f);
			part = (size_t)u64_min(part, f->max - f->size);
		}
		times_note(f, at, part);
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
	if (f->times_fd >= 0)
		close(f->times_fd);
	free(f->path);
	f->path = NULL;
	f->fd = f->times_fd = -1;
}

bool log_times_open(struct log_times *t, const char *path, int log_fd)
{
	char times[PATH_MAX];
	struct stat st;

	*t = (struct log_times){.fd = -1, .at = LOG_TIMES_RECORD};
	if (fstat(log_fd, &st) < 0 ||
	    snprintf(times, sizeof(times), "%s.times", path) >= (int)sizeof(times))
		return false;
	t->fd = open(times, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (t->fd >= 0 && !times_are_of(t->fd, st.st_ino))
		close(take_fd(&t->fd));
	return t->fd >= 0;
}

static bool times_read(const struct log_times *t, uint64_t at, uint64_t *offset, uint64_t *ns)
{
	uint8_t record[LOG_TIMES_RECORD];

	if (t->fd < 0 || pread(t->fd, record, sizeof(record), (off_t)at) != (ssize_t)sizeof(record))
		return false;
	*offset = le_get64(record);
	*ns = le_get64(record + 8);
	return true;
}

uint64_t log_times_at(struct log_times *t, uint64_t offset)
{
	uint64_t begins = 0, ns = 0;

	while (times_read(t, t->at, &begins, &ns) && begins <= offset) {
		t->now = ns;
		t->at += LOG_TIMES_RECORD;
	}
	return t->now;
}

uint64_t log_times_since(const struct log_times *t, uint64_t since)
{
	uint64_t offset, ns;

	for (uint64_t at = LOG_TIMES_RECORD; times_read(t, at, &offset, &ns);
	     at += LOG_TIMES_RECORD) {
		if (ns >= since)
			return offset;
	}
	return UINT64_MAX;
}

void log_times_close(struct log_times *t)
{
	if (t->fd >= 0)
		close(take_fd(&t->fd));
}
