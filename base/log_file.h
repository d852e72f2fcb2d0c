/*
 * A log file that never grows beyond a bound, whatever is written to it.
 *
 *     log_file_open → log_file_write … → log_file_close
 *
 * Before it would be larger than `max`, it is begun anew. What was in it becomes `PATH.1`, over the
 * one before, when LOG_FILE_ROTATES; so the newest `max` bytes are always there. Without that flag,
 * for a process whose sandbox lets it create no files, its last LOG_FILE_TAIL bytes stay. What is
 * written in one call is not divided between two files unless it is larger than `max`; of more than
 * twice `max` only the end is written.
 *
 * PATH.times has records of 16 bytes, le64 and le64: the first is a magic number and the inode of the log that it
 * belongs to, each further one an offset in the log where a line begins, and nanoseconds since 1970. A line came at
 * the time of the last record at or before it. There are at most 100 records a second, and no more bytes than `max`.
 *
 * A file that cannot be opened or written loses what is written: a full disk ends no machine. Any
 * thread may write, between log_file_open() and log_file_close().
 */
#ifndef TORPOR_BASE_LOG_FILE_H
#define TORPOR_BASE_LOG_FILE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define LOG_FILE_TAIL 65536u
#define HOST_LOG_MAX  (UINT64_C(1) << 20) /* of torpor's own lines, about a machine or a LAN */

enum log_file_flags {
	LOG_FILE_FRESH = 1,   /* empty it; else go on behind what is there */
	LOG_FILE_ROTATES = 2, /* keep PATH.1 */
	LOG_FILE_TIMES = 4,   /* keep when lines came in PATH.times, and PATH.times.1 */
};

/* How exact those times are: a line may have come so much later than it says. */
#define LOG_TIMES_NS UINT64_C(10000000)

struct log_file {
	pthread_mutex_t lock; /* guards the two below once it is open */
	int fd;		      /* -1: not open */
	uint64_t size;
	uint64_t max;
	unsigned flags;
	char *path;	     /* owned */
	int times_fd;	     /* -1: none */
	uint64_t times_size; /* whole records */
	uint64_t times_ns;   /* of the last one */
	bool in_line;	     /* the last byte was no newline */
};

#define LOG_FILE_CLOSED                                                                            \
	(struct log_file)                                                                          \
	{                                                                                          \
		.lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1, .times_fd = -1                        \
	}

/* Over LOG_FILE_CLOSED. `max` is larger than LOG_FILE_TAIL. Returns 0, -ENOMEM, or what open(2)
 * or fstat(2) gave, or -EINVAL for a pipe; then it is closed, and what is written to it is lost. */
int log_file_open(struct log_file *f, const char *path, uint64_t max, unsigned flags,
		  struct err *err);
/* Cannot fail: what cannot be written is lost. */
void log_file_write(struct log_file *f, const void *data, size_t len);
/* Also one that is closed. */
void log_file_close(struct log_file *f);

/* Reading the times of a log that is open at `log_fd`, from the first one on: log_times_open → log_times_at … →
 * log_times_close. */
struct log_times {
	int fd;	      /* -1: there are none */
	uint64_t at;  /* of the record that comes next */
	uint64_t now; /* of the one before it; 0: none */
};

/* Whether there are times: false for a log of an earlier version, or one that was rotated just now. */
bool log_times_open(struct log_times *t, const char *path, int log_fd);
/* When the line came that begins there, in ns since 1970; 0: not known. `offset` does not fall from call to call. */
uint64_t log_times_at(struct log_times *t, uint64_t offset);
/* Where the first line begins that came at `ns` or later; UINT64_MAX: none is known. */
uint64_t log_times_since(const struct log_times *t, uint64_t ns);
void log_times_close(struct log_times *t);

#endif
