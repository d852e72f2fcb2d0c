/*
 * What an architecture gives the board besides the devices that all machines have: one
 * implementation is linked (devices/x86/board_x86.c). Machine lock held.
 */
#ifndef TORPOR_DEVICES_ARCH_BOARD_H
#define TORPOR_DEVICES_ARCH_BOARD_H

#include "devices/board.h"

/*
 * Create the devices of the architecture in their fixed order and add them to the machine, before
 * all virtio devices. Sets board->serial, board->power and board->vmgenid. Returns 0, -ENOMEM, or
 * the errno of eventfd(2), getrandom(2) or KVM_IRQFD; then the devices already added belong to the
 * machine.
 */
int arch_board_devices(struct board *board, struct machine *m, struct err *err);

/* Press the guest's power button. Cannot fail. Returns whether a driver of the guest listens to it. */
bool arch_board_power_button(struct board *board);

/* Whether the guest is told of a new generation by a driver, as far as it shows. */
bool arch_board_hears_generation(const struct machine *m);

#endif
