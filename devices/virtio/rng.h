/* virtio-rng, the entropy device (virtio 1.2 §5.4). */
#ifndef TORPOR_DEVICES_VIRTIO_RNG_H
#define TORPOR_DEVICES_VIRTIO_RNG_H

#include "devices/virtio/backend.h"

/* `backend` is not used. Returns 0 or -ENOMEM. */
int virtio_rng_create(struct virtio_device **out, struct machine *m, const char *id,
		      const struct virtio_backend *backend, struct err *err);

#endif
