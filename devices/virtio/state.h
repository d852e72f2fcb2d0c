/* The check of a virtio device's saved state before it is taken over. */
#ifndef TORPOR_DEVICES_VIRTIO_STATE_H
#define TORPOR_DEVICES_VIRTIO_STATE_H

#include "devices/virtio/virtio.h"

/* Refuse what no driver could have brought about on `v`, or `v` does not offer. Pure. */
int virtio_state_check(const struct virtio_device *v, const struct virtio_state *staged,
		       struct err *err);

#endif
