/* Eight pins, one of which is the power key: a PL061 (ARM DDI 0190). */
#ifndef TORPOR_DEVICES_ARM64_GPIO_H
#define TORPOR_DEVICES_ARM64_GPIO_H

#include "vmm/machine.h"

/* Create it, with its registers on the machine's MMIO bus and a timer on its loop. Machine lock held.
 * Returns 0, -ENOMEM, or what timer_open() gave. */
int gpio_create(struct machine *m, struct device **dev, struct err *err);

/* Press the power key. It is released a moment after the guest has looked at it. Cannot fail. Returns
 * whether the guest has its interrupt enabled. */
bool gpio_press_power(struct device *dev);

#endif
