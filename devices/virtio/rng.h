/* virtio-rng, the entropy device (virtio 1.2 §5.4). */
#ifndef TORPOR_DEVICES_VIRTIO_RNG_H
#define TORPOR_DEVICES_VIRTIO_RNG_H

#include "devices/virtio/backend.h"

/* `backend` is not used. Returns 0 or -ENOMEM. */
int virtio_rng_create(struct virtio_device **out, struct machine *m, const char *id,
		      const struct virtio_backend *backend, struct err *err);

#define RNG_SEED_SIZE 32u

/* From here on the guest gets bytes that are a function of the seed and of how many it has had
 * since: for a test that is to see the same ones again, and for nothing else. NULL: the host's
 * entropy, as at first. A saved file says nothing about it. Machine lock held. Cannot fail. */
void virtio_rng_seed(struct device *dev, const uint8_t *seed);

#endif
