/*
 * Resuming: put the memory and state of a live appliance into a freshly built machine.
 *
 * Between board_build and machine_run, lock held. Everything is decoded and checked before anything
 * is applied; after a failed resume the machine can only be freed. How RAM is loaded is described
 * in load_memory.h.
 */
#ifndef TORPOR_SNAPSHOT_RESUME_H
#define TORPOR_SNAPSHOT_RESUME_H

#include "snapshot/load_memory.h"

/* Devices are loaded but not started; board_new_generation comes after this. On failure
 * report->pager is NULL. *err names the file.
 *
 * Returns 0; ERR_INTEGRITY (the file has no state, or staged_load() or load_memory() refuses what
 * it has); ERR_INCOMPATIBLE (this host lacks what it needs); -ENOMEM; or the errno of read(2),
 * mmap(2), pthread_create(3), an ioctl of userfaultfd or of KVM, or what a device's loaded() gave.
 */
int snapshot_resume(struct machine *m, const struct load_params *params, struct load_report *report,
		    struct err *err);

#endif
