/* What the creator of a virtio device gives its type. */
#ifndef TORPOR_DEVICES_VIRTIO_BACKEND_H
#define TORPOR_DEVICES_VIRTIO_BACKEND_H

#include "devices/disk.h"
#include "devices/virtio/virtio.h"
#include "format/appliance.h"
#include "share/process.h"
#include "vsock/process.h"

/* virtio 1.2 §5 */
enum virtio_id {
	VIRTIO_TYPE_NET = 1,
	VIRTIO_TYPE_BLK = 2,
	VIRTIO_TYPE_CONSOLE = 3,
	VIRTIO_TYPE_RNG = 4,
	VIRTIO_TYPE_BALLOON = 5,
	VIRTIO_TYPE_VSOCK = 19,
	VIRTIO_TYPE_FS = 26,
};

/* What a device is connected to; each type takes its own members. */
struct virtio_backend {
	struct disk *disk;	  /* blk: taken over, also on failure */
	unsigned queues;	  /* blk: 1 to VIRTIO_MAX_QUEUES; 0 is 1 */
	const char *const *ports; /* console: names of the ports behind port 0; copied */
	unsigned nports;
	const struct appliance_net *net; /* net: what the guest sees of it */
	struct share_ends *share;	 /* fs: taken over, also on failure */
	const char *tag;		 /* fs: its name for the guest */
	struct vsock_ends *vsock;	 /* vsock: taken over, also on failure */
	uint32_t cid;			 /* vsock: the guest's */
};

#endif
