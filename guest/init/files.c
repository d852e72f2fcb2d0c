/* See init.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <time.h>

#include "guest/init/init.h"

long file_read(const char *path, char *text, size_t size)
{
	long fd = SYS4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0), got = 0;
	size_t len = 0;

	text[0] = '\0';
	if (fd < 0)
		return fd;
	while (len < size - 1 && (got = SYS3(SYS_read, fd, text + len, size - 1 - len)) > 0)
		len += (size_t)got;
	SYS1(SYS_close, fd);
	text[len] = '\0';
	return got < 0 ? got : (long)len;
}

long file_write(const char *path, const char *text, size_t len)
{
	long fd, put = 0;

	fd = SYS4(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
		  0644);
	if (fd == -ELOOP && SYS3(SYS_unlinkat, AT_FDCWD, path, 0) == 0)
		fd = SYS4(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
			  0644);
	if (fd < 0)
		return fd;
	while (len > 0 && (put = SYS3(SYS_write, fd, text, len)) > 0) {
		text += put;
		len -= (size_t)put;
	}
	SYS1(SYS_close, fd);
	return put < 0 ? put : 0;
}

long make_folders(const char *path, unsigned mode)
{
	char part[4096];
	size_t len = text_len(path);
	long ret = 0;

	if (len >= sizeof(part))
		return -ENAMETOOLONG;
	for (size_t i = 1; i <= len; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		text_copy(part, i + 1, path);
		ret = SYS3(SYS_mkdirat, AT_FDCWD, part, mode);
	}
	return ret == -EEXIST ? 0 : ret;
}

void sleep_ms(unsigned ms)
{
	const struct timespec wait = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

	SYS2(SYS_nanosleep, &wait, NULL);
}

int64_t monotonic_ms(void)
{
	struct timespec now;

	SYS2(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void text_add(struct text *t, const char *part)
{
	for (; *part != '\0' && t->len + 1 < sizeof(t->data); part++)
		t->data[t->len++] = *part;
	t->data[t->len] = '\0';
}

void text_add_number(struct text *t, uint64_t number)
{
	char digits[24];
	size_t at = sizeof(digits) - 1;

	digits[at] = '\0';
	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	text_add(t, digits + at);
}

void text_add_address(struct text *t, uint32_t address)
{
	const uint8_t *byte = (const uint8_t *)&address;

	for (int i = 0; i < 4; i++) {
		text_add(t, i > 0 ? "." : "");
		text_add_number(t, byte[i]);
	}
}

void say(const char *what, const char *which, long error)
{
	struct text line = {.len = 0};

	text_add(&line, "torpor init: ");
	text_add(&line, what);
	text_add(&line, which);
	if (error < 0) {
		text_add(&line, ": error ");
		text_add_number(&line, (uint64_t)-error);
	}
	text_add(&line, "\r\n");
	SYS3(SYS_write, 2, line.data, line.len);
}

void leave(int status)
{
	for (;;)
		SYS1(SYS_exit_group, status);
}

long fork_process(void)
{
	return SYS5(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}
