/* virtio-console with named ports (virtio 1.2 §5.3). */
#ifndef TORPOR_DEVICES_VIRTIO_CONSOLE_H
#define TORPOR_DEVICES_VIRTIO_CONSOLE_H

#include "devices/chardev.h"
#include "devices/virtio/backend.h"

#define CONSOLE_MAX_PORTS 7u  /* each has two queues, and so has the control channel */
#define CONSOLE_NAME_MAX  32u /* bytes, with the terminating NUL */

extern const struct state_table virtio_console_table;

/* Port 0 and one port for each of backend->ports. Too many, or too long a name, is our bug
 * (assert). Returns 0 or -ENOMEM. */
int virtio_console_create(struct virtio_device **out, struct machine *m, const char *id,
			  const struct virtio_backend *backend, struct err *err);

/* The character device of a console's port: 0 is hvc0, then the named ports in their order; another
 * is our bug (assert). Valid as long as the device. */
struct chardev *virtio_console_port(struct device *dev, unsigned port);

#endif
