/*
 * A question to a child of this process: a function that runs there, and may give up rights there,
 * writes an answer, which comes back as bytes. One thread, the process's only one, except for
 * child_start(): it forks. SIGCHLD is not ignored.
 */
#ifndef TORPOR_BASE_CHILD_H
#define TORPOR_BASE_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/types.h>

#include "base/err.h"

/* `answer` writes to `fd`; the child ends when it returns, and is killed when its parent ends.
 * *text, for the caller to free, is all that it wrote, at most `max` bytes. Returns 0; -EINVAL with
 * ERR_FAILED when that is nothing, as when the child was killed; -ENOMEM; or the errno of pipe2(2),
 * fork(2) or read(2). */
int child_ask(void (*answer)(void *opaque, int fd), void *opaque, size_t max, uint8_t **text,
	      size_t *len, struct err *err);

/* A copy of this process that does one thing with its copy of memory. */
struct child {
	pid_t pid; /* 0: none */
	int fd;	   /* owned; hangs up when it ends, and is never readable; -1: none */
};

/*
 * `run` is called in the copy, which ends when that returns, and is killed when the thread that called
 * this ends. This process may have threads: in the copy there is the calling one alone. A lock that one of
 * the others holds stays locked there, but for those of malloc(3) and stdio; `run` takes none of which
 * that can be, and the caller sees to it that libraries that it uses are loaded and that no other thread
 * is in one of them.
 *
 * The copy has those descriptors alone that are files and block devices, the standard streams, and the `n`
 * of `keep`: no socket that hangs up too late, no device that stays in use. Locks of files (flock(2),
 * F_OFD_SETLK) are held until both have closed them.
 *
 * Returns 0, or the errno of pipe2(2) or fork(2).
 */
int child_start(struct child *c, void (*run)(void *opaque), void *opaque, const int *keep, size_t n,
		struct err *err);
/* Once `fd` has hung up; before that it waits. Whether it ended by itself. Cannot fail. */
bool child_end(struct child *c);
/* Neither wait for it nor end it. Nothing is done where there is none. */
void child_forget(struct child *c);

/* A process that goes on alone: nobody's child, in a session of its own, with /dev/null for standard
 * streams, `/` for a folder, and no other descriptors than the `n` of `keep` (-1 is passed over).
 * `run` runs there; the process ends when it returns. Returns 0, or the errno of fork(2). */
int child_detach(void (*run)(void *opaque), void *opaque, const int *keep, size_t n,
		 struct err *err);

#endif
