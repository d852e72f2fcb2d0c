/* The CMOS clock: time of day in UTC, and a few bytes of memory. */
#ifndef TORPOR_DEVICES_X86_CMOS_H
#define TORPOR_DEVICES_X86_CMOS_H

#include "vmm/machine.h"

/* Create it, with its registers on the machine's port bus. Machine lock held. Returns 0 or -ENOMEM.
 */
int cmos_create(struct machine *m, struct device **dev, struct err *err);

#endif
