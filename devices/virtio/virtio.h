/*
 * A virtio device (virtio 1.2 §2), between its type (blk, console, …) and its transport (mmio).
 *
 * The core owns what all have in common: the device status, feature negotiation, the queues, and
 * their saved state. A type fills a `struct virtio_type` and embeds `struct virtio_device` first in
 * its own struct; a transport lets the driver reach the functions of the second half of this
 * header, and delivers interrupts.
 *
 * Creation: virtio_init by the type, then virtio_set_transport by the transport (each adds its part
 * of the state), then machine_add_device by the caller.
 *
 * A device serves its queues only while the machine runs (between start and quiesce) and the driver
 * is ready (DRIVER_OK, no FAILED, no NEEDS_RESET); otherwise notifications are ignored, and start()
 * looks at every queue. All with the machine lock held. Functions that return nothing cannot fail:
 * a fault of the driver ends in NEEDS_RESET.
 */
#ifndef TORPOR_DEVICES_VIRTIO_VIRTIO_H
#define TORPOR_DEVICES_VIRTIO_VIRTIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "devices/virtio/queue.h"
#include "vmm/device.h"
#include "vmm/machine.h"

#define VIRTIO_MAX_QUEUES 16

/* Device status (§2.1) */
enum {
	VIRTIO_ACKNOWLEDGE = 1,
	VIRTIO_DRIVER = 2,
	VIRTIO_DRIVER_OK = 4,
	VIRTIO_FEATURES_OK = 8,
	VIRTIO_NEEDS_RESET = 64,
	VIRTIO_FAILED = 128,
};

/* Features of every device (§6) */
#define VIRTIO_FEATURE(bit)    (UINT64_C(1) << (bit))
#define VIRTIO_INDIRECT_DESC   VIRTIO_FEATURE(28)
#define VIRTIO_EVENT_IDX       VIRTIO_FEATURE(29)
#define VIRTIO_VERSION_1       VIRTIO_FEATURE(32)
#define VIRTIO_COMMON_FEATURES (VIRTIO_INDIRECT_DESC | VIRTIO_EVENT_IDX | VIRTIO_VERSION_1)

/* Why a transport interrupts (§4.2.2, InterruptStatus) */
enum {
	VIRTIO_CAUSE_USED = 1,
	VIRTIO_CAUSE_CONFIG = 2,
};

struct virtio_device;
struct virtio_transport;

/* What a device type is to the core. NULL: nothing to do. */
struct virtio_type {
	uint32_t id;			 /* §5 */
	const struct state_table *table; /* of the type's own state; NULL: it has none */
	const char *extra;		 /* as device.extra */
	/* The driver made buffers available in queue `index`, or may have. */
	void (*notify)(struct virtio_device *v, unsigned index);
	/* The driver has taken queue `index` out of use. */
	void (*disable)(struct virtio_device *v, unsigned index);
	/* Reset by the driver or with the machine: forget what the driver set up. */
	void (*reset)(struct virtio_device *v);
	/* The machine runs, or runs again; notify() for every queue follows. */
	void (*start)(struct virtio_device *v);
	/* vCPUs are stopped. The last moment at which queues are served: finish or rewind what is
	 * in hand (the core rewinds what is in flight), and touch neither guest memory nor the back
	 * end until start(). */
	void (*quiesce)(struct virtio_device *v);
	/* As device_ops.forget; nothing is in flight. */
	int (*forget)(struct virtio_device *v, struct err *err);
	/* A state has been restored. */
	void (*loaded)(struct virtio_device *v);
	/* A driver's write into the configuration space, inside its length. */
	void (*config_write)(struct virtio_device *v, uint64_t off, uint32_t value, unsigned size);
	/* Verify the staged state of the type, as device_ops.check does. */
	int (*check)(struct virtio_device *v, const void *staged, struct err *err);
	/* As in device_ops, of a type with `extra`. */
	int (*save_extra)(struct virtio_device *v, struct buf *out, struct err *err);
	int (*check_extra)(struct virtio_device *v, const uint8_t *data, size_t len,
			   struct err *err);
	int (*load_extra)(struct virtio_device *v, const uint8_t *data, size_t len,
			  struct err *err);
	/* For a type whose requests are served by threads of its own (block/workers.h); else NULL. Have
	 * them serve the queue whose notifications come by eventfd `fd`, which no loop watches. Returns 0,
	 * or the error of what failed. */
	int (*watch)(struct virtio_device *v, unsigned index, int fd);
	/* How many requests they have. */
	unsigned (*pending)(const struct virtio_device *v);
	/* End them, before the eventfds are closed. */
	void (*stop)(struct virtio_device *v);
	/* Free the whole object (virtio_device included, already torn down). */
	void (*free)(struct virtio_device *v);
};

struct virtio_transport_ops {
	const struct state_table *table;
	void (*interrupt)(struct virtio_transport *t, uint32_t cause);
	void (*reset)(struct virtio_transport *t);
	/* The machine runs, or runs again; an interrupt may have been lost when it stopped. */
	void (*start)(struct virtio_transport *t);
	/* As virtio_type.check. */
	int (*check)(struct virtio_transport *t, const void *staged, struct err *err);
	void (*free)(struct virtio_transport *t);
};

struct virtio_transport {
	const struct virtio_transport_ops *ops;
	struct virtio_device *v;
};

struct virtio_state {
	uint32_t device_id;
	uint32_t status;
	uint64_t features;   /* that the driver accepted */
	uint32_t generation; /* of the configuration space */
	uint32_t nqueues;
	struct vq_state queue[VIRTIO_MAX_QUEUES];
};

extern const struct state_table virtio_state_table;

/* A queue's notifications without an exit: an eventfd on the loop, or of the type's threads, made when
 * first needed. */
struct virtio_notifier {
	struct virtio_device *v;
	unsigned index;
	int fd; /* owned; -1: not made yet */
	struct loop_watch watch;
};

/*
 * Turns. No guest may hold the machine lock for long: a call of notify() moves at most
 * VIRTIO_TURN_BYTES between guest and back end and then asks for another one (virtio_reschedule).
 * An element counts as VIRTIO_ELEMENT_BYTES at least. One that may be longer than a turn is kept in
 * a struct virtio_inflight between turns. It belongs to a queue that is served in order. When the
 * machine stops, the core gives it back to the queue: it is done again, from its beginning, when
 * the machine next runs, here or from a file.
 */
#define VIRTIO_TURN_BYTES    (4u << 20)
#define VIRTIO_ELEMENT_BYTES (VIRTIO_TURN_BYTES / VQ_MAX_SIZE)

struct virtio_inflight {
	bool active;
	struct vq_elem elem; /* with what is left of its buffers */
};

struct virtio_device {
	struct device dev;
	struct virtio_state s;
	const struct virtio_type *type;
	struct virtio_transport *transport; /* owned */
	struct machine *m;
	uint64_t offered;
	const void *config; /* inside the type's object, little-endian */
	size_t config_len;
	bool prompt; /* a notification is handled before the vCPU goes on: no ioeventfd */
	struct vq queue[VIRTIO_MAX_QUEUES];
	/* In the type's object; NULL: an element of that queue never takes more than a turn. */
	struct virtio_inflight *inflight[VIRTIO_MAX_QUEUES];
	struct virtio_notifier notifier[VIRTIO_MAX_QUEUES];
	bool running;
	bool held;	    /* no more requests are begun (device_ops.hold) */
	unsigned resetting; /* vCPUs that wait for requests that are under way */
	struct log_limit limit;
};

/* --- for types --- */

/* `type_state` is described by type->table. Cannot fail; the caller frees its object by itself
 * until it has a transport. */
void virtio_init(struct virtio_device *v, struct machine *m, const char *id,
		 const struct virtio_type *type, uint64_t features, unsigned nqueues,
		 void *type_state);

static inline bool virtio_has(const struct virtio_device *v, uint64_t feature)
{
	return (v->s.features & feature) != 0;
}

/* Whether the machine runs and the driver is ready. */
bool virtio_serving(const struct virtio_device *v);
/* The next element of a queue. False when there is none, or the queue is broken (the driver is then
 * asked for a reset), or the device shall not serve it now. */
bool virtio_pop(struct virtio_device *v, unsigned index, struct vq_elem *elem);
void virtio_push(struct virtio_device *v, unsigned index, const struct vq_elem *elem, uint64_t len);
/* For a queue with an `inflight`, which the type sets after virtio_init(). virtio_next: false as
 * virtio_pop(), else v->inflight[index]->elem is the element to go on with; *fresh: it was popped
 * just now. virtio_complete: push it. virtio_rewind: give it back, as if it had not been popped. */
bool virtio_next(struct virtio_device *v, unsigned index, bool *fresh);
void virtio_complete(struct virtio_device *v, unsigned index, uint64_t len);
void virtio_rewind(struct virtio_device *v, unsigned index);
/* Take what an element cost, at least VIRTIO_ELEMENT_BYTES, off the turn's budget. */
static inline void virtio_spend(uint64_t *budget, uint64_t bytes)
{
	uint64_t cost = bytes > VIRTIO_ELEMENT_BYTES ? bytes : VIRTIO_ELEMENT_BYTES;

	*budget -= cost < *budget ? cost : *budget;
}
/* Whether a queue has an element, and may be served. If it has none, the driver notifies of the next. */
bool virtio_available(struct virtio_device *v, unsigned index);
/* pending() has become 0. */
void virtio_rested(struct virtio_device *v);
/* Interrupt if the driver wants it: after a batch of pushes. */
void virtio_interrupt(struct virtio_device *v, unsigned index);
/* Have notify() called again from the loop, or have the type's threads look at the queue (watch()), so that
 * one busy queue does not hold the machine lock.
 * Without an eventfd for that: NEEDS_RESET. */
void virtio_reschedule(struct virtio_device *v, unsigned index);
/* The guest broke the rules: DEVICE_NEEDS_RESET (§2.1.2) and a line in the log. */
void virtio_needs_reset(struct virtio_device *v, const char *why);
/* The configuration space changed (§2.5). */
void virtio_config_changed(struct virtio_device *v);

/* --- for transports --- */

/* Take over the transport; its state is the device's part named `name`. */
void virtio_set_transport(struct virtio_device *v, struct virtio_transport *t, const char *name,
			  void *state);
/* Free the device and its transport, as device_ops.destroy does. */
void virtio_destroy(struct virtio_device *v);

/* §2.1, §3.1: 0 resets; bits are only ever added; FEATURES_OK may be refused by not appearing. */
void virtio_set_status(struct virtio_device *v, uint32_t status);
/* Set 32 feature bits, word 0 or 1; ignored once FEATURES_OK is set (§2.2). */
void virtio_set_features(struct virtio_device *v, uint32_t word, uint32_t bits);
/* Take a queue into use; refused, with NEEDS_RESET, when its layout is not acceptable. */
void virtio_enable_queue(struct virtio_device *v, unsigned index);
void virtio_disable_queue(struct virtio_device *v, unsigned index);
void virtio_notify(struct virtio_device *v, unsigned index);
/* The queue's eventfd, watched. Owned by the device. -1 when eventfd(2), epoll_ctl(2) or the type's watch()
 * fails, with a line in the log. */
int virtio_notify_fd(struct virtio_device *v, unsigned index);
/* Little-endian bytes of the configuration space; zero outside it. */
uint32_t virtio_config_read(const struct virtio_device *v, uint64_t off, unsigned size);
void virtio_config_write(struct virtio_device *v, uint64_t off, uint32_t value, unsigned size);

#endif
