/*
 * The escapes of a console, as ssh has them: at the beginning of a line `~.` leaves, `~B` sends a
 * break, `~?` asks for help, `~~` types one tilde; anything else behind a tilde is typed with it.
 * Pure; cannot fail.
 */
#ifndef TORPOR_INSTANCE_ESCAPE_H
#define TORPOR_INSTANCE_ESCAPE_H

#include <stddef.h>
#include <stdint.h>

enum escape_state {
	ESCAPE_LINE_START, /* also the state to begin with */
	ESCAPE_IN_LINE,
	ESCAPE_TILDE, /* a tilde at the start of a line is held back */
};

enum escape_action {
	ESCAPE_NONE,
	ESCAPE_LEAVE,
	ESCAPE_BREAK,
	ESCAPE_HELP,
};

/* What `~?` shows; `leaves` says what `~.` does. */
#define ESCAPE_LIST(leaves)                                                                        \
	"\r\nEscapes, at the beginning of a line:\r\n"                                             \
	"  ~.  " leaves "\r\n"                                                                     \
	"  ~B  sends a break\r\n"                                                                  \
	"  ~?  shows this\r\n"                                                                     \
	"  ~~  types one tilde\r\n"

/* Filter `len` typed bytes into `out` (room for len + 1), up to the first escape that is an action.
 * Returns how many bytes are in `out`; *used: how many typed ones that took. To be called again
 * with the rest. */
size_t escape_filter(enum escape_state *state, const uint8_t *typed, size_t len, uint8_t *out,
		     size_t *used, enum escape_action *action);

#endif
