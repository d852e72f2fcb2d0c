/*
 * virtio-balloon (virtio 1.2 §5.5): the guest reports which of its memory it does not use, and that
 * is discarded (vmm/mem.h), so that no save writes it.
 *
 * By itself a guest reports large free blocks now and then. Before a save it can be asked for more
 * (trimming): for everything free at this moment, or for its caches too. What it gave up that way
 * it gets back when the machine next runs, here or from the file.
 *
 * Its size can be set, too. That is part of the machine's state: it wakes, and is reset, with the
 * size that it had. A guest that runs out of memory takes some of it back
 * (VIRTIO_BALLOON_F_DEFLATE_ON_OOM).
 *
 * Machine lock held throughout.
 */
#ifndef TORPOR_DEVICES_VIRTIO_BALLOON_H
#define TORPOR_DEVICES_VIRTIO_BALLOON_H

#include "devices/virtio/backend.h"

/* A guest that has given nothing for so long has given what it can: longer than a guest on a busy
 * host is silent. */
#define BALLOON_STALLED_MS 5000

extern const struct state_table virtio_balloon_table;

/* `backend` is not used. Returns 0 or -ENOMEM. */
int virtio_balloon_create(struct virtio_device **out, struct machine *m, const char *id,
			  const struct virtio_backend *backend, struct err *err);

/* Ask the guest to give up free memory, and with `caches` its caches; a trimming under way begins
 * anew. False when the guest cannot be asked: the machine is paused, no driver has the feature, or
 * there is no timer (timer_open()). The guest answers while the machine runs; it gets all back 30
 * seconds after the last call of balloon_trim() or balloon_trimming(). */
bool balloon_trim(struct device *dev, bool caches);
/* Whether the guest still gives, and has given something in the last BALLOON_STALLED_MS. To be
 * called repeatedly until it is false or the caller gives up. */
bool balloon_trimming(struct device *dev);
/* Bytes in the balloon, as the driver reports. */
uint64_t balloon_bytes(const struct device *dev);

#define BALLOON_STATS 10u

struct balloon_view {
	uint64_t target; /* bytes that are to be in it */
	uint64_t actual; /* that are, as the driver reports */
	bool driver;	 /* there is one that serves it */
	/* What the guest last said of its memory (§5.5.6.3). */
	uint64_t answers; /* how often it has */
	unsigned nstats;
	struct {
		const char *name;
		uint64_t value; /* bytes, but for faults and huge pages */
	} stat[BALLOON_STATS];
};

/* The guest is to have so many bytes in it, rounded down to pages, from now on; it takes its time. Returns
 * 0, or -EINVAL with ERR_USAGE for more than all of its memory. */
int balloon_set_target(struct device *dev, uint64_t bytes, struct err *err);
/* Ask for the statistics. They come later, if there is a driver and the machine runs. */
void balloon_ask_stats(struct device *dev);
void balloon_look(const struct device *dev, struct balloon_view *view);

#endif
