/* The clock: a PL031 (ARM DDI 0224), which counts the seconds since 1970. */
#ifndef TORPOR_DEVICES_ARM64_RTC_H
#define TORPOR_DEVICES_ARM64_RTC_H

#include "vmm/machine.h"

/* Create it, with its registers on the machine's MMIO bus. Machine lock held. Returns 0 or -ENOMEM. */
int rtc_create(struct machine *m, struct device **dev, struct err *err);

#endif
