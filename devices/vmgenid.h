/*
 * The generation counter ("Virtual Machine Generation ID", 2012): 16 bytes in guest memory that
 * change whenever the machine wakes from a file, so that guests know that they may have a twin.
 */
#ifndef TORPOR_DEVICES_VMGENID_H
#define TORPOR_DEVICES_VMGENID_H

#include "vmm/machine.h"

/* `power` is the ACPI block that carries the event. */
int vmgenid_create(struct machine *m, struct device *power, struct device **dev, struct err *err);

/* Write a new value and raise the event. After every wake, when memory and chips are restored and
 * before the vCPUs run. */
int vmgenid_renew(struct device *dev, struct err *err);

#endif
