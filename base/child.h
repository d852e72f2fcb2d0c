/*
 * A question to a child of this process: a function that runs there, and may give up rights there,
 * writes an answer, which comes back as bytes. One thread, the process's only one: it forks.
 * SIGCHLD is not ignored.
 */
#ifndef TORPOR_BASE_CHILD_H
#define TORPOR_BASE_CHILD_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* `answer` writes to `fd`; the child ends when it returns, and is killed when its parent ends.
 * *text, for the caller to free, is all that it wrote, at most `max` bytes. Returns 0; -EINVAL with
 * ERR_FAILED when that is nothing, as when the child was killed; -ENOMEM; or the errno of pipe2(2),
 * fork(2) or read(2). */
int child_ask(void (*answer)(void *opaque, int fd), void *opaque, size_t max, uint8_t **text,
	      size_t *len, struct err *err);

/* A process that goes on alone: nobody's child, in a session of its own, with /dev/null for standard
 * streams, `/` for a folder, and no other descriptors than the `n` of `keep` (-1 is passed over).
 * `run` runs there; the process ends when it returns. Returns 0, or the errno of fork(2). */
int child_detach(void (*run)(void *opaque), void *opaque, const int *keep, size_t n,
		 struct err *err);

#endif
