/*
 * Which frames of memory may differ from a base: a file that the machine was resumed from, or the
 * instant of its last rebase. For increments, and for whatever else copies a machine piece by
 * piece.
 *
 * How the answer is found depends on the base:
 *   resumed  The base is the file. Its frames are mapped privately, or not there yet, or zero and
 *            never touched: a page that is none of these was put there since (/proc/self/pagemap).
 *            Costs nothing while the machine runs.
 *   logged   KVM notes what the guest writes (4.8). Switching that on costs a grace period a range,
 *            so it happens at the first rebase or before it (dirty_arm), never at a resume.
 *   unknown  There is no base, or the host failed to say: every frame may differ.
 * What we write ourselves, which KVM cannot see, and what is discarded is noted by vmm/mem.c and
 * is part of every answer. "Does not differ" is never wrong; "may differ" may be: what was copied
 * in by a pager, say, or came to be in a huge page with a neighbour.
 *
 * Call order: dirty_init (machine_init does); then, each time the machine is saved: dirty_collect
 * for every range, and dirty_rebase once the copy is safe, both within the same pause, so that a
 * copy that fails loses nothing. Machine paused, lock held.
 *
 * A copy that is made behind the pause may fail when the machine runs again:
 *
 *     dirty_arm (while it runs) → pause: dirty_collect, dirty_rebase → … → dirty_put_back, if it failed
 *
 * A machine that is to be taken back to one moment (snapshot/reset.h) asks for more: which pages
 * have changed since then, whatever is rebased meanwhile. dirty_track makes that moment now. Every
 * call above that clears KVM's log notes before that what it had of the tracked pages:
 *
 *     dirty_track → dirty_tracked for every range → (put the pages back) → dirty_track_again → …
 *
 * Only dirty_collect(), dirty_rebase(), dirty_arm(), dirty_track() and dirty_track_again() can fail.
 */
#ifndef TORPOR_VMM_DIRTY_H
#define TORPOR_VMM_DIRTY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "vmm/kvm.h"
#include "vmm/mem.h"

enum dirty_base {
	DIRTY_UNKNOWN,
	DIRTY_RESUMED,
	DIRTY_LOGGED,
};

struct dirty {
	struct kvm *kvm; /* borrowed, like mem */
	struct mem *mem;
	enum dirty_base base;
	uint64_t *tracked[MEM_MAX_RANGES]; /* owned sets of the host's pages; NULL: not tracked */
	uint64_t *log;			   /* owned; room for the log of any range */
	bool tracked_lost;		   /* KVM failed to say: every page may have changed */
};

/* `resumed`: all memory will come from one file, mapped, paged in or read. */
void dirty_init(struct dirty *d, struct kvm *kvm, struct mem *mem, bool resumed);

/* The frames of a range that may differ from the base: a new frameset of range[].size / FRAME_SIZE
 * frames, freed by the caller. Changes nothing: a second call returns the same frames, and those
 * written since. Returns 0, -ENOMEM, or what KVM_GET_DIRTY_LOG gave. */
int dirty_collect(struct dirty *d, unsigned range, uint64_t **frames, struct err *err);

/* The base is now. Takes a grace period a range the first time. Returns 0, ERR_INCOMPATIBLE (this
 * KVM cannot log), -ENOMEM, or what KVM gave. After an error every frame may differ, until a later
 * call succeeds. */
int dirty_rebase(struct dirty *d, struct err *err);

/* Switch logging on before the pause in which dirty_rebase() is called, which then takes no grace
 * period. The base stays: what differs from it by now counts as written. Any thread, one at a time
 * and with no other call of these; the machine may run. Errors as dirty_rebase(), but nothing is
 * changed by them. */
int dirty_arm(struct dirty *d, struct err *err);

/* What dirty_collect() gave for a range before dirty_rebase(): the copy was given up, so the base is
 * what it was before that. Lock held; the machine may run. */
void dirty_put_back(struct dirty *d, unsigned range, const uint64_t *frames);

/* Stop logging; the base is unknown. */
void dirty_stop(struct dirty *d);

/* Track pages from now on, which is also the base. Once. Errors as dirty_rebase(); then nothing is
 * tracked. */
int dirty_track(struct dirty *d, struct err *err);
/* The pages of a range that may have changed since dirty_track(), or the last dirty_track_again():
 * borrowed, until the next call; a set of range[].size / page size. Never an error where KVM does
 * not tell: then it is all of them. */
const uint64_t *dirty_tracked(struct dirty *d, unsigned range);
/* The caller has put all of those back as they were: nothing has changed, and that is the base.
 * Errors as dirty_rebase(); then every page may have changed. */
int dirty_track_again(struct dirty *d, struct err *err);
/* Before mem_free(). Safe on zeroes. */
void dirty_free(struct dirty *d);

/* Open what dirty_add_private() reads, for good: before the process is made undumpable, after which
 * only root could. In the process whose memory it is to be, once. */
void dirty_keep_pagemap(void);

/* Add to `frames` those of the private mapping [host, host + len) that have a page which is neither
 * absent nor the mapped file's own; all of them when the kernel does not say. */
void dirty_add_private(uint64_t *frames, const uint8_t *host, uint64_t len);

#endif
