/*
 * Waking: put a live appliance's memory and state into a freshly built machine.
 *
 * Between board_build and machine_run, lock held. Everything is decoded and checked before anything
 * is applied; a failed resume leaves nothing behind but a machine to be freed. RAM is mapped from
 * the file, privately, at no cost per byte; where the file's blobs are not page-aligned it is read
 * instead
 * (*mapped tells).
 */
#ifndef TORPOR_SNAPSHOT_RESUME_H
#define TORPOR_SNAPSHOT_RESUME_H

#include "format/archive.h"
#include "vmm/machine.h"

/* The archive must stay open as long as the machine lives. Devices are loaded but not started;
 * board_new_generation comes after this. */
int snapshot_resume(struct machine *m, const struct archive *archive, bool *mapped,
		    struct err *err);

#endif
