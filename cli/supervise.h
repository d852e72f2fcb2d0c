/*
 * A machine as a service: --on-term, --restart, --idle-save and -p listen:PORT of `run` and `resume`.
 * This process starts, saves and stops the machine by torpor's own verbs; the machine is a process in
 * the background, as with -d. It stays in the foreground, but for -d with --restart. It tells systemd
 * what it does (service/notify.h).
 *
 *     supervise_take for each option → supervise_check → supervise
 */
#ifndef TORPOR_CLI_SUPERVISE_H
#define TORPOR_CLI_SUPERVISE_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/options.h"
#include "service/restart.h"

#define SUPERVISE_OPTIONS 96u
#define SUPERVISE_PORTS	  16u

enum supervise_option {
	OPTION_ON_TERM = OPTION_LONG_ONLY + 160,
	OPTION_IDLE_SAVE,
	OPTION_SAVE_DISKS,
	OPTION_RESTART,
};

/* clang-format off */
#define SUPERVISE_ON_TERM                                                                          \
	{OPTION_ON_TERM, "on-term", "stop|save|kill", "by SIGTERM press the power button, save it to where it woke from, or end it at once"},                        \
	{OPTION_RESTART, "restart", "no|on-failure[:N]|always", "start it again when it has ended, or failed, up to N times"}, \
	{OPTION_SAVE_DISKS, "disks", "inside|outside", "what such a save does with disks that are written through"}
#define SUPERVISE_IDLE                                                                             \
	{OPTION_IDLE_SAVE, "idle-save", "SECONDS", "save it when no connection to -p listen:PORT was open for so long"}
/* clang-format on */

enum on_term { ON_TERM_NOTHING, ON_TERM_STOP, ON_TERM_SAVE, ON_TERM_KILL };

struct supervise_args {
	enum on_term on_term;
	struct restart restart;
	const char *disks; /* of a save; NULL: not said */
	unsigned idle_s;   /* 0: never */
	struct {
		char name[256]; /* of the socket; "": the only one */
		uint16_t guest;
	} port[SUPERVISE_PORTS];
	unsigned nports;
	/* All other options, for the verb that starts the machine. */
	char *option[SUPERVISE_OPTIONS]; /* owned */
	unsigned noptions;
};

void supervise_free(struct supervise_args *args);
#define cleanup_supervise __attribute__((cleanup(supervise_free)))

/* Returns 1 for an option that is one of these; 0 for any other one, which is noted; -EINVAL with
 * ERR_USAGE; or -ENOMEM. */
int supervise_take(struct supervise_args *args, const struct options *opts, int id,
		   struct err *err);
/* A save whose disks nobody has spoken of would fail at the end of the service: -EINVAL with ERR_USAGE
 * now. `write`: the machine has a disk that is written through. Also for --disks without a save. */
int supervise_check_disks(const struct supervise_args *args, bool write, struct err *err);
/* Whether there is a service to be supervised. */
bool supervise_wanted(const struct supervise_args *args);

struct supervise_start {
	const char *verb;     /* run or resume */
	char *const *operand; /* behind the options */
	int noperands;
	bool detach;	    /* in the background, once the machine runs, whose name is printed */
	const char *file;   /* where it is saved; NULL: in the store under its name */
	const char *stored; /* its name there; NULL: that of the machine */
};

/* To its end: the exit status. Errors: ERR_USAGE for options that do not go together, what
 * own_program_do(), sockets_take() and the loop's functions give. */
int supervise(const struct supervise_args *args, const struct supervise_start *start,
	      struct err *err);

#endif
