/*
 * Threads that wait for a disk so that nobody else has to.
 *
 *     workers_open → workers_watch … → workers_close
 *
 * Each thread waits for any of the watched eventfds. One that was written to wakes the thread that was
 * busy last, which calls the watch's serve() without any lock; several threads may be in it at once.
 * There is one thread at first. Before a thread waits for a disk, it calls worker_waits(), which sees to it
 * that another one listens meanwhile, up to `most` of them; threads that were started stay.
 *
 * A disk that is dead may never let a thread go. workers_close() waits for a bounded time, and then leaves
 * such threads alone: whatever serve() uses must outlive the process then, and a thread that comes back asks
 * worker_abandoned() before it touches anything.
 *
 * Threads have all signals but SIGBUS blocked.
 */
#ifndef TORPOR_DEVICES_BLOCK_WORKERS_H
#define TORPOR_DEVICES_BLOCK_WORKERS_H

#include <stdbool.h>

#include "base/err.h"

struct workers;

/* Embedded in its owner, which keeps it until workers_close(). */
struct worker_watch {
	int fd; /* an eventfd, not owned; emptied before each call of serve() */
	void (*serve)(struct worker_watch *watch);
	/* The thread that is in serve() is about to wait for a disk. NULL: nobody wants to know. */
	void (*waits)(struct worker_watch *watch);
};

/* Starts the first thread. Returns 0, -ENOMEM, or what epoll_create1(2), eventfd(2), epoll_ctl(2) or
 * pthread_create(3) gave; then nothing is open. */
int workers_open(struct workers **out, unsigned most, struct err *err);
/* Any thread. `watch` is filled by the caller. Returns 0, or what epoll_ctl(2) gave. */
int workers_watch(struct workers *w, struct worker_watch *watch, struct err *err);
/* End the threads, each when its serve() returns; the caller holds no lock that this needs. Returns whether
 * all have ended within so many milliseconds. NULL: nothing is done. Cannot fail otherwise. */
bool workers_close(struct workers *w, unsigned milliseconds);

/* In serve(), before a call that may wait for a disk, with no lock that waits() takes. On a thread that is
 * no worker nothing is done. */
void worker_waits(void);
/* The same for a call that rarely waits, as a write to the page cache: another thread listens, and nothing
 * is told. */
void worker_may_wait(void);
/* In serve(), behind such a call: workers_close() has given this thread up. */
bool worker_abandoned(void);

#endif
