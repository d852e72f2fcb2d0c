/* The machine's log; see log.h. No locks: each line is one write(2). */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/printable.h"

#define LINES_PER_SECOND 10

static void log_write(const struct log *log, const char *fmt, va_list ap)
{
	char line[1024];
	int head, body;
	size_t len;

	if (log->file == NULL && log->fd < 0)
		return;
	head = snprintf(line, sizeof(line) - 1, "%s: ", log->prefix);
	if (head < 0 || (size_t)head >= sizeof(line) - 1)
		return;
	body = vsnprintf(line + head, sizeof(line) - 1 - (size_t)head, fmt, ap);
	if (body < 0)
		return;
	len = (size_t)head + (size_t)body;
	if (len > sizeof(line) - 2)
		len = sizeof(line) - 2;
	line[len] = '\0';
	printable_utf8(line);
	line[len++] = '\n';
	if (log->file != NULL)
		log_file_write(log->file, line, len);
	else
		(void)io_write(log->fd, line, len);
}

void log_line(const struct log *log, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_write(log, fmt, ap);
	va_end(ap);
}

void log_guest(const struct log *log, struct log_limit *limit, const char *fmt, ...)
{
	uint64_t second = clock_monotonic_ns() / NS_PER_SECOND;
	va_list ap;

	if (limit->second != second) {
		if (limit->dropped > 0)
			log_line(log, "%u similar lines dropped", limit->dropped);
		*limit = (struct log_limit){.second = second};
	}
	if (limit->count >= LINES_PER_SECOND) {
		limit->dropped++;
		return;
	}
	limit->count++;
	va_start(ap, fmt);
	log_write(log, fmt, ap);
	va_end(ap);
}
