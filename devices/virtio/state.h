/* The check of a virtio device's saved state before it is restored. */
#ifndef TORPOR_DEVICES_VIRTIO_STATE_H
#define TORPOR_DEVICES_VIRTIO_STATE_H

#include "devices/virtio/virtio.h"

/* Verify the state of the core of `v`. Returns 0, or -EINVAL: with ERR_INTEGRITY for a status or a
 * queue that no driver can cause, with ERR_INCOMPATIBLE for features that `v` does not offer. Pure.
 */
int virtio_state_check(const struct virtio_device *v, const struct virtio_state *staged,
		       struct err *err);

#endif
