/*
 * Messages in a stream (devices/net/net_lan_wire.h). Pure; what comes is hostile.
 *
 * The one error is -EBADMSG of framing_next(): what follows in the stream cannot be understood any
 * more, and the connection is of no more use. A message that is not `sound` is no error of the
 * stream: it is to be dropped.
 */
#ifndef TORPOR_LAN_FRAMING_H
#define TORPOR_LAN_FRAMING_H

#include <linux/virtio_net.h>
#include <stdbool.h>

#include "devices/net/net_lan_wire.h"

enum framing {
	FRAMING_NATIVE, /* machines */
	FRAMING_TRUNK,	/* the same with notes */
	FRAMING_QEMU,
};

#define FRAMING_FRAME_MIN 14u /* an Ethernet header */

struct message {
	size_t size;	       /* in the stream, with the prefix */
	const uint8_t *frame;  /* or the note's text */
	size_t len;	       /* of that */
	const uint8_t *header; /* in the stream; NULL: it has none */
	bool note;
	bool sound; /* a switch may forward it: an Ethernet header, a virtio header without fault */
};

/* The message at the beginning of `len` bytes: its size, 0 when it is not there whole, -EBADMSG
 * when its length is one that no message of this framing has. `message` points into `data`. */
int framing_next(enum framing framing, const uint8_t *data, size_t len, struct message *message);

/* Put in front of a frame of `len` bytes what a receiver of this framing expects there, `header`
 * (NULL: one without offloads) where it has one: returns the number of bytes. */
#define FRAMING_HEAD_MAX (LAN_WIRE_PREFIX + NET_HEADER_SIZE)
size_t framing_head(enum framing framing, const uint8_t *header, size_t len,
		    uint8_t head[FRAMING_HEAD_MAX]);

#endif
