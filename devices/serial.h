/* A 16550A on COM1, the guest's ttyS0: one struct device with a chardev. See device.h for the life.
 */
#ifndef TORPOR_DEVICES_SERIAL_H
#define TORPOR_DEVICES_SERIAL_H

#include "devices/chardev.h"
#include "vmm/machine.h"

/* Create it on the machine's port bus. *chardev lives as long as the device. */
int serial_create(struct machine *m, struct device **dev, struct chardev **chardev,
		  struct err *err);

#endif
