/*
 * What a machine is made from, wherever it comes from: the description, the boot files and the
 * disks' contents. Read from an appliance file, or gathered from the command line.
 *
 *     source_from_args | source_from_file → source_open_disks → … → source_close, behind
 * machine_free
 */
#ifndef TORPOR_INSTANCE_SOURCE_H
#define TORPOR_INSTANCE_SOURCE_H

#include "cli/machine_args.h"
#include "devices/board.h"
#include "format/chain.h"
#include "vmm/arch.h"

struct source {
	struct appliance appliance;
	const char *origin;   /* the appliance's or the kernel's path, for errors; borrowed */
	struct chain *chain;  /* owned; NULL: from the command line */
	struct keyring *keys; /* owned; NULL: none for files; see parent_open() */
	int kernel_fd, initrd_fd;
	int disk_fd[APPLIANCE_MAX_DISKS]; /* raw files, until source_open_disks */
	struct boot_source boot;	  /* borrows the above */
};

int source_from_args(struct source *s, const struct machine_args *args, struct err *err);
/* The keys in `params` are taken, whatever becomes of it. */
int source_from_file(struct source *s, const char *path, const struct archive_open_params *params,
		     struct err *err);
/* Let the command line overrule what a cold file says. */
int source_override(struct source *s, const struct machine_args *args, struct err *err);
/* ERR_INCOMPATIBLE unless this program can run it: architecture and machine type. */
int source_check(const struct source *s, struct err *err);
/* Open every disk into `disk`; after an error there is nothing to close. Once. */
int source_open_disks(struct source *s, struct disk *disk[APPLIANCE_MAX_DISKS], struct err *err);
/* `ret` with the file in front of the text, when loading its kernel failed. */
int source_boot_failed(const struct source *s, int ret, struct err *err);
/* Safe on a source that failed half-way. */
void source_close(struct source *s);

#endif
