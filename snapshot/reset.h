/*
 * Golden machines: a resumed machine that is taken back, in its process, to the state of its file.
 *
 *     snapshot_resume → golden_open → board_new_generation → machine_run …
 *     … machine_pause → golden_reset → board_new_generation → machine_unpause …
 *     … golden_close, when the vCPUs are gone and before machine_free
 *
 * What a reset costs grows with what the guest has changed, not with the machine. The pages that
 * changed are known (dirty_track): those that the guest has written by KVM's dirty log, those that
 * we have written or discarded by vmm/mem.c. They are copied back from a copy of the file's frames,
 * each read, decoded and checked when a page of it is first needed, on all cores. The state of
 * vCPUs, chips and devices was decoded and checked by golden_open() and is applied again. Devices drop what they
 * have beside their state (device_ops.forget): the scratch files of disks, frames on their way, the
 * host's ends of TCP connections.
 *
 * A reset is a resume of the same file otherwise: whoever calls it draws a new generation id,
 * corrects the guest's wall clock, and counts the next increment from that file. A save in between
 * (dirty_rebase) does not disturb it. Frames that a pager has not loaded yet stay with it.
 *
 * Loop thread, machine lock held.
 */
#ifndef TORPOR_SNAPSHOT_RESET_H
#define TORPOR_SNAPSHOT_RESET_H

#include "format/chain.h"
#include "vmm/machine.h"

struct golden;

/* What a reset did. */
struct golden_reset {
	uint64_t pages;	    /* of the host's size, that may have changed and are as they were */
	uint64_t memory_ns; /* what they took, reading frames for the first time included */
	uint64_t state_ns;  /* what all else took */
};

/* Directly behind snapshot_resume() of the chain's newest file, which must stay open until
 * golden_close(); nothing has written to memory since. Takes a grace period of KVM's a range, and
 * from here on the guest's first write to a page costs a fault. Returns 0; ERR_INCOMPATIBLE (this
 * KVM cannot log writes); -ENOMEM; what staged_read() gives; or the errno of mmap(2) or of KVM. On
 * failure *out is NULL. */
int golden_open(struct golden **out, struct machine *m, const struct chain *chain, struct err *err);

/* The machine is paused, and stays so. Returns 0; ERR_INTEGRITY, -ENOMEM, -ENOSYS or the errno of
 * pread(2) when a frame of the file cannot be read: then nothing has changed, and the machine may
 * go on. After any other error (of KVM, or of a device) its state would be a mixture, and it is
 * broken. */
int golden_reset(struct golden *g, struct golden_reset *did, struct err *err);

/* In how many parts what has changed is counted. */
#define CHANGED_PARTS 256u
/* Pages of the host's size that may have changed since the last reset, in each part of memory. The
 * machine is paused. Cannot fail: where KVM does not tell it is all of them. */
void golden_count_changes(struct golden *g, uint32_t counts[CHANGED_PARTS]);

/* Bytes of the file's frames that are kept for the next reset. */
uint64_t golden_bytes(const struct golden *g);

/* NULL is fine. */
void golden_close(struct golden *g);

#endif
