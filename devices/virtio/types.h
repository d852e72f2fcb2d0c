/* The virtio device types, and how to create a device of one. Machine lock held. */
#ifndef TORPOR_DEVICES_VIRTIO_TYPES_H
#define TORPOR_DEVICES_VIRTIO_TYPES_H

#include "devices/virtio/backend.h"

struct virtio_type_entry {
	enum virtio_id id;
	const char *name;
	const struct state_table *state; /* of the type; NULL: it has none */
	/* A device without transport. Returns 0 or -ENOMEM; then the back end is closed. */
	int (*create)(struct virtio_device **out, struct machine *m, const char *id,
		      const struct virtio_backend *backend, struct err *err);
};

#define VIRTIO_TYPES 7
extern const struct virtio_type_entry virtio_types[VIRTIO_TYPES];

/* A device with the MMIO transport in a slot of the machine, ready for machine_add_device(). `id`
 * is its name in the machine ("disk0"). An unknown type is our bug (assert). Returns 0, -ENOMEM, or
 * the errno of eventfd(2) or KVM_IRQFD; the back end is closed then. */
int virtio_create(struct device **out, struct machine *m, enum virtio_id type, const char *id,
		  unsigned slot, const struct virtio_backend *backend, struct err *err);

#endif
