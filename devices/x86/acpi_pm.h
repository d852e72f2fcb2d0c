/*
 * ACPI fixed hardware: power button, sleep control, and one block of general-purpose events.
 *
 * Machine lock held throughout.
 */
#ifndef TORPOR_DEVICES_X86_ACPI_PM_H
#define TORPOR_DEVICES_X86_ACPI_PM_H

#include "vmm/machine.h"

/* Create it, with its registers on the machine's port bus. Returns 0 or -ENOMEM. */
int acpi_pm_create(struct machine *m, struct device **dev, struct err *err);

/* Press the fixed power button. Cannot fail. Returns whether the guest has that event enabled. */
bool acpi_pm_press_power(struct device *dev);
/* Raise general-purpose event `bit` (0 to 7): the guest runs \_GPE._E0n. Cannot fail. */
void acpi_pm_raise_gpe(struct device *dev, unsigned bit);

#endif
