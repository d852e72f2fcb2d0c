/*
 * Saving: from a paused machine to a published file.
 *
 * Order: devices → vCPUs → VM chips and clock → memory last, since the earlier steps write guest memory.
 * Names no concrete device: disks come as image sources. The state is checked as a resume would check
 * it before anything else is written. On error the old file is as it was and the machine can go on.
 *
 * In one go, on the loop's thread, lock held, machine paused: snapshot_save(). Or in steps, so that the
 * pause takes as little as it can:
 *
 *     snapshot_open    any thread, the machine may run: what needs no pause
 *     snapshot_take    loop thread, lock held, machine paused: the state, and which memory has changed
 *     snapshot_write   where memory and disks stay what they were when it was taken: in the same
 *                      pause, or in a process that was forked in it
 *     snapshot_close   in each of the processes
 */
#ifndef TORPOR_SNAPSHOT_SAVE_H
#define TORPOR_SNAPSHOT_SAVE_H

#include "base/progress.h"
#include "format/appliance.h"
#include "format/chain.h"
#include "format/crypto/digest.h"
#include "format/image/image.h"
#include "snapshot/pager.h"
#include "vmm/machine.h"

/* One disk to carry along. */
struct save_disk {
	/* The base: one of the two; neither in an increment. */
	struct image_source base_source; /* size 0: none */
	const struct image *base_image;	 /* NULL: none */
	bool has_overlay;
	struct image_source
		overlay; /* what was written over the base; an increment: since the parent */
};

struct save_params {
	const char *path; /* target file; NULL: down a stream */
	/* `fd` is a temporary file for the path that another process publishes
	 * (archive_writer_open_adopted()); else a file with a path is opened and published here. */
	bool adopted;
	int fd; /* borrowed; without a path: a pipe or the like, open for writing */
	/* Live fields (saved_ns, generation, cpu …) already set; `needs` is set here. */
	struct appliance *appliance;
	struct save_disk disk[APPLIANCE_MAX_DISKS]; /* appliance->ndisks of them */
	bool flat;				    /* images are not packed */
	int level;				    /* else: of zstd */
	const struct keyring *keys; /* NULL, or the keys of the file: it is packed and encrypted */
	struct pager *pager; /* NULL, or still loading memory: frames that are not there yet are
				read from its images */
	/* NULL, or write what changed since this file only: appliance->increment is set, the base
	 * of m->dirty is this file or unknown, and the chain's hash lists are loaded. */
	const struct chain *parent;
	/* What the machine writes from here on is of the next increment: snapshot_take() calls
	 * dirty_rebase() behind dirty_collect(). */
	bool rebase;
	struct progress *progress;     /* NULL, or told how far it is, and able to cancel it */
	char digest[DIGEST_TEXT_SIZE]; /* out: the identity of what was saved */
	uint64_t bytes;		       /* out: the file's size */
};

struct snapshot;

/* The steps. `params` is kept: what of it is of the moment of the pause, appliance and disks, is set
 * before snapshot_take(), and digest and bytes are set by snapshot_write(). Each fails with a part of what
 * snapshot_save() fails with; on failure of the first *out is NULL. */
int snapshot_open(struct snapshot **out, const struct machine *m, struct save_params *params,
		  struct err *err);
int snapshot_take(struct snapshot *s, struct machine *m, struct err *err);
int snapshot_write(struct snapshot *s, const struct machine *m, struct err *err);
/* It was taken, and is given up: with `rebase` the machine's dirty base is what it was before. Lock held;
 * the machine may run. */
void snapshot_put_back(const struct snapshot *s, struct machine *m);
/* NULL is fine. */
void snapshot_close(struct snapshot *s);

/* Without `rebase` the machine's dirty base is not moved: a caller that goes on to another save calls
 * dirty_rebase().
 *
 * Returns 0; -ECANCELED when the progress was cancelled before the file was in place or the last
 * byte in the stream; ERR_FAILED (the machine broke meanwhile, or the host's state is too large);
 * ERR_INTEGRITY (a resume would refuse the state; a frame that was not loaded yet, or the parent,
 * is damaged); -ENOMEM; or the errno of a KVM call, of read(2) or write(2), or what
 * archive_writer_open(), archive_writer_open_adopted() and archive_writer_publish() give. */
int snapshot_save(struct machine *m, struct save_params *params, struct err *err);

#endif
