/*
 * The virtio device types there are, and the way to create one.
 */
#ifndef TORPOR_DEVICES_VIRTIO_TYPES_H
#define TORPOR_DEVICES_VIRTIO_TYPES_H

#include "devices/chardev.h"
#include "devices/disk.h"
#include "devices/net/net.h"
#include "devices/virtio/virtio.h"
#include "format/appliance.h"

/* virtio 1.2 §5 */
enum virtio_id {
	VIRTIO_TYPE_NET = 1,
	VIRTIO_TYPE_BLK = 2,
	VIRTIO_TYPE_CONSOLE = 3,
	VIRTIO_TYPE_RNG = 4,
	VIRTIO_TYPE_BALLOON = 5,
};

/* What stands behind a device; each type takes what it knows. */
struct virtio_backend {
	struct disk *disk;	  /* blk: taken over, also on failure */
	const char *const *ports; /* console: names of the ports behind port 0; copied */
	unsigned nports;
	const struct appliance_net *net; /* net: what the guest sees of it */
};

struct virtio_type_entry {
	enum virtio_id id;
	const char *name;
	const struct state_table *state; /* of the type; NULL: it has none */
	/* A device without transport. */
	int (*create)(struct virtio_device **out, struct machine *m, const char *id,
		      const struct virtio_backend *backend, struct err *err);
};

#define VIRTIO_TYPES 5
extern const struct virtio_type_entry virtio_types[VIRTIO_TYPES];

/* A device with the MMIO transport in a slot of the machine, ready for machine_add_device(). `id`
 * is its name in the machine ("disk0"). An unknown type is our bug (assert). Returns 0, -ENOMEM, or
 * the errno of eventfd(2) or KVM_IRQFD; the back end is closed then. */
int virtio_create(struct device **out, struct machine *m, enum virtio_id type, const char *id,
		  unsigned slot, const struct virtio_backend *backend, struct err *err);

/* The character device of a console's port: 0 is hvc0, then the named ports in their order. Valid
 * as long as the device. */
struct chardev *virtio_console_port(struct device *dev, unsigned port);

/* The card of a network device. Valid as long as the device. */
struct net_card *virtio_net_card(struct device *dev);

#endif
