/* A 16550A, the guest's ttyS0: one struct device with a chardev. See vmm/device.h for call order.
 */
#ifndef TORPOR_DEVICES_SERIAL_H
#define TORPOR_DEVICES_SERIAL_H

#include "devices/chardev.h"
#include "vmm/machine.h"

/* Where the board puts it: 8 registers of one byte each, and an edge line. */
struct serial_place {
	struct bus *bus; /* m->pio or m->mmio */
	uint64_t base;
	uint32_t gsi;
};

/* Create it. *chardev lives as long as the device. Returns 0, -ENOMEM, or the errno of eventfd(2)
 * or KVM_IRQFD. */
int serial_create(struct machine *m, const struct serial_place *place, struct device **dev,
		  struct chardev **chardev, struct err *err);

#endif
