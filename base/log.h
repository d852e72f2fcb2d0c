/*
 * The machine's log: one line at a time to a file or descriptor the owner of the machine chose.
 *
 * Lines a guest can provoke go through log_guest() with a limiter beside the device, so that a
 * hostile guest fills no disk: 10 lines a second, then one line that says how many were dropped.
 * Any thread may log; each line is one write, and goes through printable_utf8(). Logging cannot
 * fail: a line that cannot be written is lost.
 */
#ifndef TORPOR_BASE_LOG_H
#define TORPOR_BASE_LOG_H

#include <stdint.h>

#include "base/log_file.h"

struct log {
	struct log_file *file; /* not owned; where lines go, unless it is NULL */
	int fd;		       /* not owned; where they go then; -1: nowhere */
	const char *prefix;    /* before each line, as "torpor: web"; not owned */
};

struct log_limit {
	uint64_t second; /* CLOCK_MONOTONIC second the count belongs to */
	unsigned count;
	unsigned dropped;
};

void log_line(const struct log *log, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Calls that share a limiter are made under one lock. */
void log_guest(const struct log *log, struct log_limit *limit, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
