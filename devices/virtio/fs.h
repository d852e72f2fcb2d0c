/*
 * virtio-fs, a shared folder (virtio 1.2 §5.11): a queue for what must not wait (0) and one for requests (1). The
 * requests are FUSE's; the server is a process of its own (share/process.h), which this device hands them to and
 * forgets about until an answer comes: no call here waits for a file of the host.
 *
 * What is under way when the machine stops is waited for, unless the host has been silent about it for
 * FS_PATIENCE_MS: then the machine pauses all the same, but is not saved.
 */
#ifndef TORPOR_DEVICES_VIRTIO_FS_H
#define TORPOR_DEVICES_VIRTIO_FS_H

#include "devices/virtio/backend.h"

#define FS_PATIENCE_MS 2000u

extern const struct state_table virtio_fs_table;

/* With backend->share, the ends of a server, which are taken, also on error; closed ones: the folder is bound to
 * nothing, and the guest gets ESTALE for all of it. backend->tag: at most 36 bytes. Returns 0, -ENOMEM, or what
 * share_link_open() gives. */
int virtio_fs_create(struct virtio_device **out, struct machine *m, const char *id,
		     const struct virtio_backend *backend, struct err *err);

#endif
