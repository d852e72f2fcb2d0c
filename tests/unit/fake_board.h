/*
 * A machine with all its devices for tests, on a real VM whose vCPU never runs: the test plays the
 * guest at the ports and looks at the lines through the interrupt chips.
 */
#ifndef TORPOR_TESTS_UNIT_FAKE_BOARD_H
#define TORPOR_TESTS_UNIT_FAKE_BOARD_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/board.h"

struct fake_board {
	struct machine m;
	struct board board;
	bool built;
};

/* One disk, console, rng, balloon, network card, shared folder (bound to none) and vsock (with nobody behind it)
 * beside the legacy devices.
 * Says "SKIP: …" and returns false where there is no /dev/kvm. */
bool fake_board_init(struct fake_board *b);
void fake_board_free(struct fake_board *b);

uint32_t fake_in(struct fake_board *b, uint16_t port, unsigned size);
void fake_out(struct fake_board *b, uint16_t port, uint32_t value, unsigned size);

/* x86-64 alone (x86_64/fake_chips.c). Has an edge arrived on this ISA line since the last call? An
 * eventfd's way to the chips leads through a kernel worker: waits for one that is expected, and a little
 * for one that is not. */
bool fake_edge(struct fake_board *b, unsigned irq, bool expected);
/* Is this line of the I/O APIC high? */
bool fake_level(struct fake_board *b, unsigned gsi);

/* Bring the state of `id` from one machine to another as a resume does; returns what check() said.
 * `spoil`, when not NULL, changes the staged parts on the way. */
int fake_board_move(struct fake_board *from, struct fake_board *to, const char *id,
		    void (*spoil)(void *const staged[]), struct err *err);

#endif
