/*
 * console.log: everything the guest ever printed, bounded; and console.log.times, when. See log_file.h.
 * At CONSOLE_LOG_MAX bytes the file becomes console.log.1 and a new one is begun. Created at the first byte or
 * by console_log_open(), whichever comes first. Machine lock held.
 */
#ifndef TORPOR_INSTANCE_CONSOLE_LOG_H
#define TORPOR_INSTANCE_CONSOLE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log_file.h"

#define CONSOLE_LOG_MAX (UINT64_C(16) << 20)

struct console_log {
	const char *name; /* the machine's; not owned */
	bool fresh;	  /* begin an empty file; else go on with the one there is */
	bool opened;	  /* or it was tried: there is no second try */
	struct log_file file;
};

void console_log_init(struct console_log *log, const char *name, bool fresh);
/* Nothing here returns an error: a log that cannot be opened loses output, and the machine goes
 * on. */
void console_log_open(struct console_log *log);
void console_log_write(struct console_log *log, const uint8_t *data, size_t len);
void console_log_close(struct console_log *log);

#endif
