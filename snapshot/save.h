/*
 * Saving: from a paused machine to a published file.
 *
 * Loop thread, lock held, machine paused. Order: devices → vCPUs → VM chips and clock → memory
 * last, since the earlier steps write guest memory. Names no concrete device: disks come as image
 * sources. On error the old file is as it was and the machine can go on.
 */
#ifndef TORPOR_SNAPSHOT_SAVE_H
#define TORPOR_SNAPSHOT_SAVE_H

#include "format/appliance.h"
#include "format/image.h"
#include "vmm/machine.h"

/* One disk to carry along; exactly one of source and image is the base. */
struct save_disk {
	struct image_source base_source;
	const struct image *base_image; /* NULL: use base_source */
	bool has_overlay;
	struct image_source overlay;
};

struct save_params {
	const char *path; /* target file */
	const struct appliance
		*appliance; /* live fields (saved_ns, generation, cpu …) already set */
	struct save_disk disk[APPLIANCE_MAX_DISKS]; /* appliance->ndisks of them */
};

int snapshot_save(struct machine *m, const struct save_params *params, struct err *err);

#endif
