/*
 * virtio-vsock (virtio 1.2 §5.10), stream sockets between the guest and this host: the queues, and what a wake
 * does. The connections are vsock/hub.h's.
 *
 * No connection outlives a wake: a machine that is resumed, cloned or reset gets VIRTIO_VSOCK_EVENT_TRANSPORT_RESET
 * (§5.10.6.7), and new connections wait until its driver has handled that, which it shows with another buffer for
 * events.
 */
#ifndef TORPOR_DEVICES_VIRTIO_VSOCK_H
#define TORPOR_DEVICES_VIRTIO_VSOCK_H

#include "devices/virtio/backend.h"

extern const struct state_table virtio_vsock_table;

/* With backend->vsock, which is taken, also on error; closed ends: nobody is behind the device. Returns 0, or what
 * vsock_hub_open() gives. */
int virtio_vsock_create(struct virtio_device **out, struct machine *m, const char *id,
			const struct virtio_backend *backend, struct err *err);

#endif
