/*
 * How far a long job is, and whether it is to end early. The threads that work report, others read
 * and cancel; any thread may call anything but progress_init() and progress_free().
 *
 *     progress_init → progress_expect → progress_add | progress_skip …, progress_check between them
 *     … → progress_free
 *
 * The functions that the job calls take NULL: nothing is counted, and nothing cancels. Those of its
 * owner (init, free, percent, cancel) do not.
 */
#ifndef TORPOR_BASE_PROGRESS_H
#define TORPOR_BASE_PROGRESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct progress {
	atomic_uint_fast64_t expected; /* bytes */
	atomic_uint_fast64_t done;
	atomic_bool cancelled;
	atomic_bool committed;
	int fd; /* an eventfd: readable once it is cancelled */
};

/* Returns 0, or what eventfd(2) gave. */
int progress_init(struct progress *p, struct err *err);
void progress_free(struct progress *p);

/* `bytes` more are to be worked on. */
void progress_expect(struct progress *p, uint64_t bytes);
/* `bytes` of those turn out to cost nothing. */
void progress_skip(struct progress *p, uint64_t bytes);
void progress_add(struct progress *p, uint64_t bytes);
/* 0 to 100; it never falls once everything is expected. */
unsigned progress_percent(const struct progress *p);

void progress_cancel(struct progress *p);
/* What was worked on is in place from here on, or about to be: nobody says any more that it was cancelled. */
void progress_commit(struct progress *p);
bool progress_is_committed(const struct progress *p);
bool progress_is_cancelled(const struct progress *p);
/* Returns 0, or -ECANCELED with ERR_FAILED once it is cancelled. */
int progress_check(const struct progress *p, struct err *err);

/* io_write() that a cancel ends: to a pipe or socket whose reader does not read it would otherwise
 * wait for ever. Returns 0, -ECANCELED, or what poll(2) or write(2) gave. Leaves the flags of `fd`
 * alone, which others may share. */
int progress_write(const struct progress *p, int fd, const void *src, uint64_t len);

#endif
