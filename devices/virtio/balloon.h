/*
 * virtio-balloon (virtio 1.2 §5.5): the guest says which of its memory it does not use, and that is
 * discarded (vmm/mem.h), so that no save writes it.
 *
 * By itself a guest reports large free blocks now and then. Before a save it can be asked for more
 * (trimming): for everything free at this moment, or for its caches too. What it gave up that way
 * it gets back when the machine next goes on, here or from the file.
 */
#ifndef TORPOR_DEVICES_VIRTIO_BALLOON_H
#define TORPOR_DEVICES_VIRTIO_BALLOON_H

#include "devices/virtio/backend.h"

/* Who has given nothing for so long has given what it can: longer than a guest on a busy host is
 * silent. */
#define BALLOON_STALLED_MS 5000

extern const struct state_table virtio_balloon_table;

int virtio_balloon_create(struct virtio_device **out, struct machine *m, const char *id,
			  const struct virtio_backend *backend, struct err *err);

/* Machine lock held. Ask the guest to give up free memory, and its caches if so wanted; a trimming
 * under way begins anew. False when there is nobody to ask: no driver, or the machine is paused.
 * The guest answers while the machine runs; when nobody has asked how far it is for 30 seconds, it
 * gets all back. */
bool balloon_trim(struct device *dev, bool caches);
/* Whether it is still giving, and has given something lately. To be asked again and
 * again until it is not, or patience ends. */
bool balloon_trimming(struct device *dev);
/* Bytes in the balloon, as the driver says. */
uint64_t balloon_bytes(const struct device *dev);

#endif
