/* The table of virtio device types; see types.h. */
#include "devices/virtio/types.h"

#include "base/assert.h"
#include "devices/virtio/balloon.h"
#include "devices/virtio/blk.h"
#include "devices/virtio/console.h"
#include "devices/virtio/fs.h"
#include "devices/virtio/mmio.h"
#include "devices/virtio/net.h"
#include "devices/virtio/rng.h"
#include "devices/virtio/vsock.h"

const struct virtio_type_entry virtio_types[VIRTIO_TYPES] = {
	{VIRTIO_TYPE_NET, "net", &virtio_net_table, virtio_net_create},
	{VIRTIO_TYPE_BLK, "blk", &virtio_blk_table, virtio_blk_create},
	{VIRTIO_TYPE_CONSOLE, "console", &virtio_console_table, virtio_console_create},
	{VIRTIO_TYPE_RNG, "rng", NULL, virtio_rng_create},
	{VIRTIO_TYPE_BALLOON, "balloon", &virtio_balloon_table, virtio_balloon_create},
	{VIRTIO_TYPE_FS, "fs", &virtio_fs_table, virtio_fs_create},
	{VIRTIO_TYPE_VSOCK, "vsock", &virtio_vsock_table, virtio_vsock_create},
};

int virtio_create(struct device **out, struct machine *m, enum virtio_id type, const char *id,
		  unsigned slot, const struct virtio_backend *backend, struct err *err)
{
	const struct virtio_type_entry *entry = NULL;
	struct virtio_device *v;
	int ret;

	for (unsigned i = 0; i < VIRTIO_TYPES; i++) {
		if (virtio_types[i].id == type)
			entry = &virtio_types[i];
	}
	assert(entry != NULL && slot < ARCH_VIRTIO_SLOTS);
	ret = entry->create(&v, m, id, backend, err);
	if (ret < 0)
		return ret;
	ret = virtio_mmio_plug(v, slot, err);
	if (ret < 0) {
		virtio_destroy(v);
		return ret;
	}
	*out = &v->dev;
	return 0;
}
