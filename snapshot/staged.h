/*
 * A machine's state as a file has it, decoded and checked, but not applied.
 *
 * A resume stages the whole state before it changes anything (resume.c). A save stages what it has
 * just encoded, so that a file is never published that no resume would take (save.c).
 *
 * Machine lock held. Nothing here changes the machine.
 */
#ifndef TORPOR_SNAPSHOT_STAGED_H
#define TORPOR_SNAPSHOT_STAGED_H

#include "state/statefile.h"
#include "vmm/machine.h"

struct staged_device {
	struct device *dev;
	void *part[DEVICE_MAX_PARTS]; /* owned */
};

struct staged {
	uint8_t *vcpus; /* nvcpus states, arch_vcpu_table.size apart; owned */
	void *vm;	/* owned */
	unsigned ndevices;
	struct staged_device device[MACHINE_MAX_DEVICES];
};

/* Decode and check the state of `m`'s vCPUs, chips and devices; refuse sections of none of them.
 * `staged` is zeros; staged_free() also after an error.
 *
 * Errors of all below: ERR_INTEGRITY (a section is missing, cannot be decoded, or has what no such
 * guest could have produced), ERR_INCOMPATIBLE (this host or this machine lacks what the state
 * needs), -ENOMEM. *err names the part. */
int staged_load(struct staged *staged, struct machine *m, struct statefile *sf, struct err *err);
/* The same for one device; staged->dev is set. */
int staged_load_device(struct staged_device *staged, struct statefile *sf, struct err *err);
void staged_free(struct staged *staged);

static inline void *staged_vcpu(const struct staged *staged, uint32_t index)
{
	return staged->vcpus + (size_t)index * arch_vcpu_table.size;
}

#define cleanup_staged __attribute__((cleanup(staged_free)))

#endif
