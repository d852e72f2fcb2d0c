/* virtio-blk over a disk (virtio 1.2 §5.2). */
#ifndef TORPOR_DEVICES_VIRTIO_BLK_H
#define TORPOR_DEVICES_VIRTIO_BLK_H

#include "devices/virtio/backend.h"

extern const struct state_table virtio_blk_table;

/* Takes over backend->disk, also on error. Returns 0, or -ENOMEM, also when there is no timer for its limits. */
int virtio_blk_create(struct virtio_device **out, struct machine *m, const char *id,
		      const struct virtio_backend *backend, struct err *err);

#endif
