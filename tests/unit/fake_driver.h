/*
 * A guest's side of virtio for tests: memory and an MMIO bus without a VM, and a driver that sets
 * up queues and posts chains, well-formed or not. Interrupts are counted on the device's eventfd.
 */
#ifndef TORPOR_TESTS_UNIT_FAKE_DRIVER_H
#define TORPOR_TESTS_UNIT_FAKE_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/virtio/console.h"
#include "devices/virtio/mmio.h"
#include "devices/virtio/types.h"

#define FAKE_RAM     MIB(64) /* reserved, hardly touched */
#define FAKE_LOW     MIB(2)  /* what tests put things into, and fake_move() copies */
#define FAKE_BASE    0xd0000000u
#define FAKE_QUEUES  0x10000u /* where the rings of queue i lie: + i * 0x4000 */
#define FAKE_BUFFERS 0x80000u /* free for tests from here on */

/* virtio 1.2 §4.2.2, by the specification's names */
enum {
	R_MAGIC = 0x00,
	R_VERSION = 0x04,
	R_DEVICE_ID = 0x08,
	R_DEVICE_FEATURES = 0x10,
	R_DEVICE_FEATURES_SEL = 0x14,
	R_DRIVER_FEATURES = 0x20,
	R_DRIVER_FEATURES_SEL = 0x24,
	R_QUEUE_SEL = 0x30,
	R_QUEUE_NUM_MAX = 0x34,
	R_QUEUE_NUM = 0x38,
	R_QUEUE_READY = 0x44,
	R_QUEUE_NOTIFY = 0x50,
	R_INTERRUPT_STATUS = 0x60,
	R_INTERRUPT_ACK = 0x64,
	R_STATUS = 0x70,
	R_QUEUE_DESC = 0x80,
	R_QUEUE_DRIVER = 0x90,
	R_QUEUE_DEVICE = 0xa0,
	R_SHM_LEN = 0xb0,
	R_CONFIG_GENERATION = 0xfc,
	R_CONFIG = 0x100,
};

enum { D_NEXT = 1, D_WRITE = 2, D_INDIRECT = 4 };

struct fake_seg {
	uint64_t addr;
	uint32_t len;
	bool write; /* by the device */
};

struct fake_queue {
	uint16_t size;
	uint64_t desc, avail, used;
	uint16_t next_desc;
	uint16_t avail_idx;
	uint16_t used_seen;
};

struct fake {
	struct machine m;
	struct virtio_device *v; /* owned */
	int irq_fd;
	int log_fd; /* an anonymous file with what was logged */
	uint64_t features;
	struct fake_queue q[VIRTIO_MAX_QUEUES];
};

/* A machine without a VM. */
void fake_init(struct fake *f);
void fake_free(struct fake *f);
/* Create a device of a type and plug it at FAKE_BASE; it is started. */
void fake_plug(struct fake *f, enum virtio_id type, const char *id,
	       const struct virtio_backend *backend);

void fake_start(struct fake *f);
/* Begin nothing more, and wait for what threads of the device have. */
void fake_hold(struct fake *f);
/* How many requests threads of the device have. */
unsigned fake_pending(struct fake *f);
/* A reset by the driver waits for them. */
bool fake_is_resetting(struct fake *f);
/* Hold and quiesce it. */
void fake_stop(struct fake *f);
/* As at a reset of the guest: stopped, and with the lock that threads of the device look under. */
void fake_reset(struct fake *f);
/* Wait until threads of the device have served everything. */
void fake_await(struct fake *f);

uint32_t fake_read(struct fake *f, uint64_t reg);
void fake_write(struct fake *f, uint64_t reg, uint32_t value);
void *fake_ram(struct fake *f, uint64_t gpa, uint64_t len);

/* Reset, negotiate, set up every queue of `nqueues` with `size` descriptors and set DRIVER_OK. */
void fake_bring_up(struct fake *f, uint64_t features, unsigned nqueues, uint16_t size);
/* The parts of it. */
void fake_negotiate(struct fake *f, uint64_t features);
void fake_setup_queue(struct fake *f, unsigned index, uint16_t size);

void fake_desc(struct fake *f, uint64_t table, unsigned index, uint64_t addr, uint32_t len,
	       uint16_t flags, uint16_t next);
/* Make a chain available (without notifying) and return its head. */
uint16_t fake_post(struct fake *f, unsigned queue, const struct fake_seg *seg, unsigned n);
uint16_t fake_post_indirect(struct fake *f, unsigned queue, uint64_t table,
			    const struct fake_seg *seg, unsigned n);
void fake_make_available(struct fake *f, unsigned queue, uint16_t head);
/* Notify, and wait for what threads of the device do then. */
void fake_kick(struct fake *f, unsigned queue);
/* The next used element; false when there is none. */
bool fake_used(struct fake *f, unsigned queue, uint32_t *id, uint32_t *len);
/* Interrupts since the last call. */
unsigned fake_interrupts(struct fake *f);
/* Serve what is ready on the loop. */
void fake_loop(struct fake *f);
unsigned fake_log_lines(struct fake *f);

/* Stop `from` and move memory and state, through their encoding, into `to`, whose device was
 * created the same way; start it. Returns what check() said. */
int fake_move(struct fake *from, struct fake *to, struct err *err);
/* The same with some bytes of the state changed on the way. `seed` must not be 0; it moves on. */
int fake_move_damaged(struct fake *from, struct fake *to, uint64_t *seed, struct err *err);

/* A cheap generator for tests (xorshift); the state must not be 0. */
uint64_t fake_random(uint64_t *seed);

#endif
