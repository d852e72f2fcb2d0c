/*
 * virtio-net (virtio 1.2 §5.1): the card of devices/net/net.h.
 *
 * The features offered depend on the machine type and the description alone, never on the back end:
 * a guest that is resumed with another one sees no difference.
 */
#ifndef TORPOR_DEVICES_VIRTIO_NET_H
#define TORPOR_DEVICES_VIRTIO_NET_H

#include "devices/net/net.h"
#include "devices/virtio/backend.h"

extern const struct state_table virtio_net_table;

/* A card as backend->net says: its MAC, MTU and pairs of queues. Returns 0 or -ENOMEM. */
int virtio_net_create(struct virtio_device **out, struct machine *m, const char *id,
		      const struct virtio_backend *backend, struct err *err);

/* The card of a network device; another device is our bug (assert). Valid as long as the device. */
struct net_card *virtio_net_card(struct device *dev);

#endif
