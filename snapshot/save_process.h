/*
 * A save that a process of its own writes, while the machine runs on: a fork of this one, in which memory
 * and disks stay what they were (ARCHITECTURE.md, "A save behind the pause").
 *
 *     save_process_open → (snapshot_open, with its progress) → pause: snapshot_take, pager_settle, disks are
 *     frozen, save_process_start → the machine goes on → child.fd hangs up → save_process_end
 *     … → save_process_close
 *
 * Loop thread, machine lock held, but for open, progress and close: any thread. Functions that return int
 * return 0 or -errno.
 */
#ifndef TORPOR_SNAPSHOT_SAVE_PROCESS_H
#define TORPOR_SNAPSHOT_SAVE_PROCESS_H

#include "base/child.h"
#include "snapshot/save.h"

struct save_shared;

struct save_process {
	struct save_shared *shared; /* owned mapping, which the copy shares; NULL: not open */
	struct child child;	    /* pid 0: it does not run */
};

#define SAVE_PROCESS_CLOSED                                                                        \
	(struct save_process)                                                                      \
	{                                                                                          \
		.child = {.fd = -1 }                                                               \
	}

/* Over SAVE_PROCESS_CLOSED. Returns the errno of mmap(2), or what progress_init() gives. */
int save_process_open(struct save_process *p, struct err *err);
/* Of the job, in both processes: for save_params.progress, and to cancel it. */
struct progress *save_process_progress(const struct save_process *p);

struct save_copy {
	struct snapshot *snapshot;
	struct machine *machine;
	struct save_params *params; /* of the snapshot */
	/* Called in the copy first: lock keys, close what it must not hold. */
	void (*begin)(void *opaque);
	void *opaque;
};

/* All of `copy` is to be valid in this process until it returns. Returns what child_start() gives; then
 * nothing has begun. */
int save_process_start(struct save_process *p, const struct save_copy *copy, struct err *err);
/* How it ended, and digest and bytes of `params`. Returns 0; what snapshot_write() returned there; or
 * -EINVAL with ERR_FAILED when the process was killed. */
int save_process_end(struct save_process *p, struct save_params *params, struct err *err);
/* Cancels it if it runs, and does not wait: it ends with the caller's thread at the latest. Nothing is
 * done when it is closed. */
void save_process_close(struct save_process *p);

#endif
