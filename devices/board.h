/*
 * The board: assembles the devices of machine type torpor-1 for an appliance.
 *
 * board_build() is called between machine_init and machine_boot (or the restore). It gives every
 * device its place (slot, line, port) in a fixed order derived from the appliance alone, so that a
 * resumed machine finds the devices where the guest left them, and fills machine.board for the
 * firmware tables. Everything of the host comes in through the bindings.
 */
#ifndef TORPOR_DEVICES_BOARD_H
#define TORPOR_DEVICES_BOARD_H

#include "devices/chardev.h"
#include "devices/disk.h"
#include "devices/net/net.h"
#include "format/appliance.h"
#include "share/process.h"
#include "vmm/machine.h"
#include "vsock/process.h"

/* What the host gives. Disks are in the appliance's order; board_build() takes them over, also when
 * it fails. */
struct board_bindings {
	struct disk *disk[APPLIANCE_MAX_DISKS];
	struct share_ends
		*share[APPLIANCE_MAX_SHARES]; /* what they are bound to is taken over, too */
	struct vsock_ends *vsock;	      /* the same; NULL where the appliance has none */
};

struct board {
	struct chardev *serial;	 /* ttyS0 */
	struct chardev *console; /* hvc0 */
	struct chardev *agent;	 /* the guest agent's port */
	struct chardev *exec;	 /* APPLIANCE_EXEC_PORT; NULL: it has none */
	struct device *power;	 /* for arch_board_power_button */
	struct device *vmgenid;
	struct device *rng;
	struct device *balloon; /* for devices/virtio/balloon.h */
	struct net_card
		*net[APPLIANCE_MAX_NETS]; /* in the appliance's order; NULL behind the last */
};

/* Create and add all devices. Returns 0, -ENOMEM, -EINVAL with ERR_USAGE for more devices than there are
 * slots, or what eventfd(2), getrandom(2) or KVM gave;
 * then those already added belong to the machine, which frees them. */
int board_build(struct board *board, struct machine *m, const struct appliance *a,
		struct board_bindings *bindings, struct err *err);

/* Press the power button. Machine lock held. Cannot fail; a guest may ignore it. Returns whether a driver of the guest
 * listens to it. */
bool board_power_button(struct board *board);
/* Give the machine a new generation identity and notify the guest (VMGenID); after every resume,
 * after the interrupt chips are restored, before the first start(). Returns 0, or what getrandom(2)
 * gave. */
int board_new_generation(struct board *board, struct err *err);
/* Whether the guest, as it lies in memory, has a driver that hears of it, as far as that shows. Machine lock held. */
bool board_hears_generation(const struct machine *m);

#define BOARD_SEED_SIZE 32u
/* The same with an identity that is a function of the seed, as is what the entropy device gives from
 * here on: for a test that is to see the same again. Cannot fail. */
void board_seeded_generation(struct board *board, const uint8_t seed[BOARD_SEED_SIZE]);

#endif
