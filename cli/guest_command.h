/*
 * A command in a machine's guest, from the client's side (guest/exec_frame.h).
 *
 *     guest_command_start → guest_command_frame, guest_command_send … → guest_command_close
 *
 * One thread. Errors: those of client_open() and client_call(); ERR_FAILED with the machine's words
 * when the command cannot be run or followed.
 */
#ifndef TORPOR_CLI_GUEST_COMMAND_H
#define TORPOR_CLI_GUEST_COMMAND_H

#include <stdbool.h>

#include "guest/exec_frame.h"
#include "host/client.h"

/* What is to be run. */
struct guest_call {
	uint32_t flags; /* EXEC_FLAG_* */
	uint16_t rows, columns;
	const char *folder; /* "": the root */
	const char *user;   /* "": the agent's */
	char *const *argv;  /* ends with NULL */
	char *const *env;   /* K=V; ends with NULL */
	unsigned take_ms;   /* the machine has so long to take it; 0: as long as it likes */
};

struct guest_command {
	struct client client;
	uint32_t input_left; /* bytes of input that may be sent now */
	bool ended;
	bool ready;	    /* it has reached the guest */
	bool may_retry;	    /* it failed because no agent has answered yet: nothing was run */
	enum exec_exit how; /* once it has ended */
	uint32_t value;	    /* of that */
	size_t start, len;
	uint8_t in[2 * (EXEC_HEADER + EXEC_FRAME_MAX)];
};

/* Connect and start. -E2BIG with ERR_USAGE when the arguments are longer than EXEC_ARGS_MAX. */
int guest_command_start(struct guest_command *c, const char *machine, const struct guest_call *call,
			struct err *err);
/* The same over a connection to the machine that is open: c->client. */
int guest_command_begin(struct guest_command *c, const struct guest_call *call, struct err *err);
/* Safe on a zeroed one whose client.fd is -1. A command that has not ended is ended. */
void guest_command_close(struct guest_command *c);
/* The next frame: 1, its bytes valid until the next call; 0: none is there yet (not `wait`), or it
 * has ended before; else an error. Credit and the exit are noted here, too. */
int guest_command_frame(struct guest_command *c, bool wait, struct exec_frame *frame,
			const uint8_t **data, struct err *err);
/* Send a frame. Input counts against input_left. Waits while the machine takes nothing. Failing is
 * seen by guest_command_frame(). */
void guest_command_send(struct guest_command *c, uint8_t type, const void *data, uint32_t len);
/* Of one that has ended: its exit status, 128 and the signal, 126 or 127; then *err says why it did
 * not run. `name` is the command. */
int guest_command_status(const struct guest_command *c, const char *name, struct err *err);

#endif
