/*
 * What a device is to the rest of the program.
 *
 * A device embeds `struct device`, describes its saved state as parts (plain-data struct plus state
 * table), and implements device_ops. snapshot/ and machine.c know devices only through this header.
 *
 * Life: created by its own X_create() and added with machine_add_device(); start() once the machine
 * first runs; then any number of hold(), quiesce(), start() as it pauses and goes on; reset() on a
 * guest reset; destroy() at the end.
 *
 * Restore, between creation and the first start(), with nothing running: every part of every device
 * is decoded into staging memory and check() looks at the staged parts. Only when all devices have
 * accepted theirs are the parts copied over the live ones and loaded() called. After that point
 * only loaded() itself may fail, for reasons of the host (an eventfd, say).
 *
 * A machine that is taken back to an earlier state (snapshot/reset.h) is quiesced; forget() comes
 * first, then the parts are copied over the live ones as in a restore, and loaded() is called; then
 * start().
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
	/* Begin no more requests, until start() or hold(false). NULL: there are no threads. */
	void (*hold)(struct device *dev, bool on);
	/* Whether threads of the device have no request under way; else `what` names it, and
	 * machine_rested() is called when that is over. NULL as hold(). */
	bool (*at_rest)(const struct device *dev, char *what, size_t size);
	/* vCPUs are stopped, and the device is held and at rest, unless the machine is at its end.
	 * Finish or undo every request that has begun, and touch neither guest memory nor the back
	 * end until start(). NULL: nothing to do. */
	void (*quiesce)(struct device *dev);
	/* The machine is about to run: re-arm back ends, look at every queue once. NULL:
	 * nothing. */
	void (*start)(struct device *dev);
	/* Check staged[i] (of part[i]). ERR_INTEGRITY: the guest could not have produced it on this
	 * device. ERR_INCOMPATIBLE: the configuration lacks what it needs. */
	int (*check)(struct device *dev, void *const staged[], struct err *err);
	/* The machine is taken back to an earlier state: drop what is no part of it. What the guest
	 * has written to a disk since, frames and bytes on their way, connections of the host, what
	 * is remembered of requests. Returns 0, or the errno of the host call that failed. NULL:
	 * all of the device is in its parts. */
	int (*forget)(struct device *dev, struct err *err);
	/* The parts now hold the restored state: rebuild everything derived from them. Returns 0,
	 * or the errno of the host call that failed. NULL: nothing to do. */
	int (*loaded)(struct device *dev, struct err *err);
	/* Of a device with `extra`: state of no size that a table could have. Append it, quiesced; look
	 * at what was staged, as check(), and change nothing; take it over, before loaded(). */
	int (*save_extra)(struct device *dev, struct buf *out, struct err *err);
	int (*check_extra)(struct device *dev, const uint8_t *data, size_t len, struct err *err);
	int (*load_extra)(struct device *dev, const uint8_t *data, size_t len, struct err *err);
	void (*destroy)(struct device *dev);
};

struct device {
	char id[DEVICE_ID_MAX + 1]; /* unique in the machine; section names begin with it */
	const struct device_ops *ops;
	struct device_part part[DEVICE_MAX_PARTS];
	unsigned nparts;
	const char *
		extra; /* the section behind its parts, ID.EXTRA, which is no table's; NULL: none */
};

#endif
