/*
 * The generation counter ("Virtual Machine Generation ID", 2012): 16 bytes in guest memory that
 * change whenever the machine is resumed from a file. A guest learns from it that another machine
 * may run from the same state.
 */
#ifndef TORPOR_DEVICES_VMGENID_H
#define TORPOR_DEVICES_VMGENID_H

#include "vmm/machine.h"

#define VMGENID_SIZE 16u

/* Where the board puts it. */
struct vmgenid_params {
	uint64_t gpa; /* of the 16 bytes, in memory that every machine has */
	/* Tell the guest that the value has changed, for example by an ACPI event. */
	void (*notify)(void *opaque);
	void *opaque;
};

/* Create it with a value of its own. `params` is copied. Returns 0, -ENOMEM, or what getrandom(2)
 * gave. */
int vmgenid_create(struct machine *m, const struct vmgenid_params *params, struct device **dev,
		   struct err *err);

/* Write a new value and notify the guest: after every resume, when memory and chips are restored,
 * before the vCPUs run. Returns 0 or what getrandom(2) gave; then nothing has changed. */
int vmgenid_renew(struct device *dev, struct err *err);
/* The same with a value that is given. Cannot fail. */
void vmgenid_set(struct device *dev, const uint8_t id[VMGENID_SIZE]);

#endif
