/*
 * What a device is to the rest of the program.
 *
 * A device embeds `struct device`, describes its saved state as parts (plain-data struct plus state
 * table), and implements device_ops. snapshot/ and machine.c know devices only through this header.
 *
 * Life: created by its own X_create() and added with machine_add_device(); start() once the machine
 * first runs; then any number of quiesce() / start() pairs as it pauses and goes on; reset() on a
 * guest reset; destroy() at the end.
 *
 * Restore, between creation and the first start(), with nothing running: every part of every device
 * is decoded into staging memory, check() judges the staged parts, and only when all devices have
 * agreed are the parts copied over the live ones and loaded() called. Nothing may fail after that
 * point except loaded() itself, for host reasons (an eventfd, say).
 *
 * All operations run with the machine lock held.
 */
#ifndef TORPOR_VMM_DEVICE_H
#define TORPOR_VMM_DEVICE_H

#include "base/err.h"
#include "state/state.h"

#define DEVICE_MAX_PARTS 3
#define DEVICE_ID_MAX	 31

struct device;

struct device_part {
	const char *name; /* "" for the first: the section is then named by the device's id alone */
	const struct state_table *table;
	void *state; /* inside the device */
};

struct device_ops {
	/* Guest reset: back to power-on state. Quiesced before. */
	void (*reset)(struct device *dev);
	/* vCPUs are stopped. Finish or rewind what is in hand and touch neither guest memory nor
	 * the back end until start(). NULL: nothing to do. */
	void (*quiesce)(struct device *dev);
	/* The machine is about to run: re-arm back ends, look at every queue once. NULL: nothing.
	 */
	void (*start)(struct device *dev);
	/* Judge staged[i] (of parts[i]); refuse what the guest could not have produced on this
	 * device, by ERR_INTEGRITY, or what the configuration lacks, by ERR_INCOMPATIBLE. */
	int (*check)(struct device *dev, void *const staged[], struct err *err);
	/* The parts now hold the restored state: rebuild everything derived from them. */
	int (*loaded)(struct device *dev, struct err *err);
	void (*destroy)(struct device *dev);
};

struct device {
	char id[DEVICE_ID_MAX + 1]; /* unique in the machine; section names begin with it */
	const struct device_ops *ops;
	struct device_part part[DEVICE_MAX_PARTS];
	unsigned nparts;
};

#endif
