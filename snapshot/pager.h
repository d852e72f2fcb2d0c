/*
 * The pager: guest memory that is loaded while the guest runs.
 *
 *     pager_new → pager_mark_present* → pager_start → … → pager_stop
 *
 * A frame is absent, busy or present. The vCPUs, devices and system calls that touch an absent one
 * wait in the kernel (userfaultfd, missing mode; kernel/Documentation: admin-guide/mm/userfaultfd)
 * until a fault thread has read, decoded, checked and installed it, all its pages in one copy. A
 * background fill loads the rest in the order of the extents; it lets faults go first, and can be
 * slowed, stopped and started again. Zero frames cost neither disk nor copy. Frames that are
 * discarded first are never loaded (the pager sets mem.discarded).
 *
 * Frames of a file that is still arriving (base/arrival.h) come when they are there: there are fault
 * threads for all vCPUs to wait side by side, the hot set is loaded first, and the fill takes what
 * has come.
 *
 * A frame that cannot be read or is damaged breaks the machine: no byte of it reaches the guest,
 * the vCPUs never run again, and the machine stays there to be inspected (machine_break).
 *
 * Threads: the owner's calls everything, machine lock held once the machine runs; faults and
 * filling have threads of their own, which take no lock of the machine's (its holder may be waiting
 * for a frame) and touch nothing but frames and counters.
 *
 * Errors, where nothing else is said: -ENOMEM, or the errno of the system call that *err names.
 * Functions that return no int cannot fail.
 */
#ifndef TORPOR_SNAPSHOT_PAGER_H
#define TORPOR_SNAPSHOT_PAGER_H

#include "format/image/layers.h"
#include "vmm/machine.h"

enum pager_fill {
	PAGER_FILL_NONE, /* only what is touched */
	PAGER_FILL_IDLE, /* at low priority, one core at most */
	PAGER_FILL_FULL, /* on all cores this process may use */
};

struct pager;

struct pager_stats {
	uint64_t frames;       /* with data, hot ones not counted */
	uint64_t present;      /* of them, so far */
	uint64_t faults;       /* frames that were waited for */
	uint64_t filled;       /* frames that the background loaded */
	uint64_t fault_ns_max; /* the longest from reading a fault to waking its waiters */
	uint64_t fault_ns_sum;
	enum pager_fill fill;
};

/* The memory of `m` will hold `extents` (one list for each range; taken over, also on failure, and
 * set to empty). Nothing is registered yet. ERR_INTEGRITY: a list is of another size than its
 * range. ERR_INCOMPATIBLE: the kernel does not give us userfaultfd for faults inside KVM; the text
 * says which right is missing (/dev/userfaultfd, vm.unprivileged_userfaultfd, CAP_SYS_PTRACE). The
 * caller then decodes everything first. On failure *out is NULL. */
int pager_new(struct pager **out, struct machine *m, struct layer_extents *extents,
	      struct err *err);
/* This frame is in place already: mapped or copied. Before pager_start. */
void pager_mark_present(struct pager *p, unsigned range, uint64_t frame);
/* Note which frames are waited for, in their order (torpor warm). Before pager_start. */
int pager_record(struct pager *p, struct err *err);
struct pager_touch {
	unsigned range;
	uint64_t frame;
};
/* What was noted so far; borrowed. Machine paused or ended. */
size_t pager_touched(const struct pager *p, const struct pager_touch **touched);
/* Register the absent frames and begin. From here on memory may be touched. */
int pager_start(struct pager *p, enum pager_fill fill, struct err *err);
/* At any time. After an error (a thread could not be started) the old way of filling goes on. */
int pager_set_fill(struct pager *p, enum pager_fill fill, struct err *err);
/* Any thread. */
void pager_stats(struct pager *p, struct pager_stats *stats);
/*
 * Is nothing of this frame in memory yet? Then its contents are still those of the file, at
 * layer_extents_find(). For a save, machine paused. A frame that is being installed does not count
 * as absent, because the guest may write to it at once; reading its memory waits for it. A damaged
 * frame counts as absent: reading it from the file says what is wrong. Call machine_is_broken()
 * before a save is published all the same.
 */
bool pager_is_absent(const struct pager *p, unsigned range, uint64_t frame);
const struct layer_extents *pager_extents(const struct pager *p, unsigned range);
/*
 * For a process that is forked from this one and reads memory as it is then. Its copy is not registered
 * with userfaultfd: a frame that is not there reads as zeros in it.
 *
 *     pager_hold → (pause) → pager_settle → fork → pager_release; in the other process: pager_copied
 *
 * hold: on return nothing is loaded in the background, and nothing will be before pager_release(); waits
 * for frames that are being loaded. Any thread, without the machine's lock. settle: machine paused; each
 * frame that the guest has waited for is there. copied: which frames are there is as it was at the fork.
 * One that was being loaded then counts as absent: it was claimed in the pause, for somebody who looked
 * ahead, and nobody has written to it.
 */
void pager_hold(struct pager *p);
void pager_release(struct pager *p);
void pager_settle(const struct pager *p);
void pager_copied(struct pager *p);
/* The machine is ending: nobody waits any longer for what has not arrived. Whoever did goes on with
 * zeros, and the vCPUs do not (machine_break). Owner's thread; the lock may be held. */
void pager_give_up(struct pager *p);
/* End all threads and free it. Frames not yet there stay absent and untouchable: only before
 * machine_free, with the vCPUs gone. NULL is fine. */
void pager_stop(struct pager *p);

#endif
