/* The CMOS clock: time of day in UTC, and a few bytes of memory. */
#ifndef TORPOR_DEVICES_X86_CMOS_H
#define TORPOR_DEVICES_X86_CMOS_H

#include "vmm/machine.h"

int cmos_create(struct machine *m, struct device **dev, struct err *err);

#endif
