/*
 * The interface between a guest's character device (serial, console port) and what the host
 * attaches to it.
 *
 * The device fills `input`, `send_break` and `is_open` when it is created; the host side the
 * others, before the machine runs. All calls are made with the machine lock held. None can fail.
 */
#ifndef TORPOR_DEVICES_CHARDEV_H
#define TORPOR_DEVICES_CHARDEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chardev {
	/* Host → guest: take up to len bytes, return how many were taken. What does not fit is
	 * offered again after `room`. */
	size_t (*input)(struct chardev *c, const uint8_t *data, size_t len);
	/* Host → guest: a break, behind what was taken before it. False: not now; it is offered
	 * again after `room`. NULL: the device has no break. */
	bool (*send_break)(struct chardev *c);
	/* Whether a program in the guest has the port open. NULL: the device cannot tell. */
	bool (*is_open)(const struct chardev *c);
	/* Guest → host. Never blocks for long; the host side keeps, forwards or drops. NULL:
	 * dropped. */
	void (*output)(void *opaque, const uint8_t *data, size_t len);
	/* The device can take input again. NULL: the host side does not wait for it. */
	void (*room)(void *opaque);
	/* is_open() has changed. Not called when a restored state changes it. NULL: not needed. */
	void (*opened)(void *opaque, bool open);
	void *opaque;
};

#endif
