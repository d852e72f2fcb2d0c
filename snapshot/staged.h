/*
 * A machine's state as a file has it, decoded and checked.
 *
 * A resume stages the whole state before it changes anything (resume.c), and a golden machine keeps
 * it so to apply it again (reset.c). A save stages what it has just encoded, so that a file is
 * never published that no resume would take (save.c).
 *
 *     staged_read | staged_load → staged_apply_chips → staged_apply_devices … → staged_free
 *
 * Machine lock held. Only staged_apply_*() change the machine.
 */
#ifndef TORPOR_SNAPSHOT_STAGED_H
#define TORPOR_SNAPSHOT_STAGED_H

#include "format/archive.h"
#include "state/statefile.h"
#include "vmm/machine.h"

struct staged_device {
	struct device *dev;
	void *part[DEVICE_MAX_PARTS]; /* owned */
	uint8_t *extra;		      /* owned; of a device that has it */
	size_t nextra;
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
 * Errors of what reads and checks: ERR_INTEGRITY (a section is missing, cannot be decoded, or has
 * what no such guest could have produced), ERR_INCOMPATIBLE (this host or this machine lacks what
 * the state needs), -ENOMEM. *err names the part. */
int staged_load(struct staged *staged, struct machine *m, struct statefile *sf, struct err *err);
/* The same for one device; staged->dev is set. */
int staged_load_device(struct staged_device *staged, struct statefile *sf, struct err *err);
/* The state that a file has, as staged_load(). Errors also of read(2). */
int staged_read(struct staged *staged, struct machine *m, const struct archive *archive,
		struct err *err);
/* Apply it to the vCPUs, parked, then to the chips. `ran`: these vCPUs have run, on this very state
 * or one that came of it; else they are new. Returns 0, or what arch_vcpu_restore(),
 * arch_vcpu_rewind() and arch_vm_restore() give. */
int staged_apply_chips(const struct staged *staged, struct machine *m, bool ran, struct err *err);
/* Then to the devices, quiesced. Returns 0, or what their loaded() gives. */
int staged_apply_devices(const struct staged *staged, struct err *err);
void staged_free(struct staged *staged);

static inline void *staged_vcpu(const struct staged *staged, uint32_t index)
{
	return staged->vcpus + (size_t)index * arch_vcpu_table.size;
}

#define cleanup_staged __attribute__((cleanup(staged_free)))

#endif
