/*
 * The event loop: one thread, epoll, one callback a descriptor.
 *
 * loop_run() is called by the thread that owns the machine and returns after loop_stop(). Callbacks
 * run on that thread with the machine lock held (the mutex given to loop_init), the same lock that
 * vCPU threads take to handle an exit: a device needs no lock of its own. loop_add/mod/del and the
 * hooks may be called by whoever holds that lock; loop_stop from anywhere, a signal handler
 * included.
 *
 * Functions that return nothing cannot fail.
 */
#ifndef TORPOR_BASE_LOOP_H
#define TORPOR_BASE_LOOP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct loop_watch;

/* `events` are EPOLL* bits that are ready. */
typedef void loop_fn(struct loop_watch *watch, uint32_t events);

/* Embedded in its owner (container_of gives it back), which keeps it valid until loop_del(). */
struct loop_watch {
	int fd; /* not owned; -1 when not being watched */
	uint32_t events;
	loop_fn *fn;
};

struct loop_hook;

typedef void loop_hook_fn(struct loop_hook *hook);

/* Embedded in its owner, which keeps it valid until loop_unhook(). */
struct loop_hook {
	loop_hook_fn *fn;
	struct loop_hook *next; /* the loop's */
};

struct loop {
	int epoll_fd;
	int stop_fd;
	pthread_mutex_t *lock;
	bool waiting; /* hooks will not be called before a descriptor is ready */
	bool stopping;
	bool deleted; /* a watch was deleted since the batch was fetched */
	struct loop_hook *hooks;
};

/* `lock` is kept. Returns 0, or what epoll_create1(2), eventfd(2) or epoll_ctl(2) gave; then
 * nothing is open. */
int loop_init(struct loop *loop, pthread_mutex_t *lock, struct err *err);
void loop_free(struct loop *loop);

/* Start watching fd for EPOLLIN etc.; `watch` is filled here. Returns 0, or what epoll_ctl(2) gave;
 * then watch->fd is -1. */
int loop_add(struct loop *loop, struct loop_watch *watch, int fd, uint32_t events, loop_fn *fn,
	     struct err *err);
/* Change the events; 0 keeps the watch but mutes it (hang-up and error are still
 * reported). */
void loop_mod(struct loop *loop, struct loop_watch *watch, uint32_t events);
/* Stop watching; a watch that is not being watched is left alone. Its callback is not called any
 * more, even if it was ready in the batch being served. */
void loop_del(struct loop *loop, struct loop_watch *watch);

/* Have `fn` called each time before the loop waits, after the callbacks of a batch: for work that
 * is done once a batch. Code outside of callbacks that has such work checks `waiting`: while that
 * is true, no hook is called. A hook may unhook itself, no other. The last one added is called
 * first.
 */
void loop_hook(struct loop *loop, struct loop_hook *hook, loop_hook_fn *fn);
/* A hook that is not there is left alone. */
void loop_unhook(struct loop *loop, struct loop_hook *hook);

/* Serve until loop_stop(). Called without the lock. Returns 0, or what epoll_wait(2) gave. */
int loop_run(struct loop *loop, struct err *err);
/* Serve what is ready, without waiting and without hooks, with the lock held. A loop's epoll_fd may
 * be watched by another loop, whose callback calls this; while it does, another thread may call
 * loop_run() on the inner one, if the callback waits for that to end. */
void loop_poll(struct loop *loop);
void loop_stop(struct loop *loop);

#endif
