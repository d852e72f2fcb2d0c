/*
 * console.log: everything the guest ever printed, bounded. At CONSOLE_LOG_MAX bytes the file
 * becomes console.log.1 and a new one is begun. Created at the first byte or by console_log_open(),
 * whichever comes first. A disk that is full costs output, never the machine. Machine lock held.
 */
#ifndef TORPOR_INSTANCE_CONSOLE_LOG_H
#define TORPOR_INSTANCE_CONSOLE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/paths.h"

#define CONSOLE_LOG_MAX (UINT64_C(16) << 20)

struct console_log {
	const char *name; /* the machine's; not owned */
	bool fresh;	  /* begin an empty file; else go on with the one there is */
	bool failed;
	int fd; /* -1 until opened */
	uint64_t size;
};

void console_log_init(struct console_log *log, const char *name, bool fresh);
void console_log_open(struct console_log *log);
void console_log_write(struct console_log *log, const uint8_t *data, size_t len);
void console_log_close(struct console_log *log);

#endif
