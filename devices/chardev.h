/*
 * The seam between a guest's character device (serial, console port) and whatever the host attaches
 * to it.
 *
 * The device fills `input` when it is created; the host side fills `output` and `room` before the
 * machine runs. All calls are made with the machine lock held.
 */
#ifndef TORPOR_DEVICES_CHARDEV_H
#define TORPOR_DEVICES_CHARDEV_H

#include <stddef.h>
#include <stdint.h>

struct chardev {
	/* Host → guest: take up to len bytes, return how many were taken. What does not fit is
	 * offered again after `room`. */
	size_t (*input)(struct chardev *c, const uint8_t *data, size_t len);
	/* Guest → host. Never blocks for long; the host side keeps, forwards or drops. NULL:
	 * dropped. */
	void (*output)(void *opaque, const uint8_t *data, size_t len);
	/* The device can take input again. NULL: nobody waits. */
	void (*room)(void *opaque);
	void *opaque;
};

#endif
