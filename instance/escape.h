/*
 * The escape of a console, as ssh has it: `~.` at the beginning of a line leaves, `~~` types one
 * tilde, anything else behind a tilde is typed with it. Pure.
 */
#ifndef TORPOR_INSTANCE_ESCAPE_H
#define TORPOR_INSTANCE_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum escape_state {
	ESCAPE_LINE_START, /* also the state to begin with */
	ESCAPE_IN_LINE,
	ESCAPE_TILDE, /* a tilde at the start of a line is held back */
};

/* Filter `len` typed bytes into `out` (room for len + 1). Returns their number; *leave is set when
 * the escape was typed, and nothing behind it counts. */
size_t escape_filter(enum escape_state *state, const uint8_t *typed, size_t len, uint8_t *out,
		     bool *leave);

#endif
