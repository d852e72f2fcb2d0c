/*
 * A machine that a verb makes for itself: in a process of its own, which ends when ours does,
 * however it does, and leaves nothing.
 *
 *     own_machine_open → own_machine_start → own_machine_await, own_machine_await_wake
 *     → … → own_machine_end → (start …) → own_machine_close
 *
 * One thread. Where nothing else is said, functions return 0; -ECANCELED when stop_fd became
 * readable; -ENOMEM; or what client_call() gives.
 */
#ifndef TORPOR_CLI_OWN_MACHINE_H
#define TORPOR_CLI_OWN_MACHINE_H

#include "cli/machine_env.h"
#include "cli/readiness.h"
#include "golden/test_run.h"

struct own_machine {
	char name[64];
	int stop_fd; /* readable once all is to end; -1: never */
	int lease[2];
	bool there;
	struct client client; /* while it is there */
	struct machine_env env;
	int log_fd; /* of its console: also when it has ended and nothing is left of it */
};

/* How it is started. */
struct own_start {
	const char *verb; /* run or resume */
	char *const *option;
	unsigned noptions;
	char *const *publish; /* ports of the guest: on free ports of 127.0.0.1 */
	unsigned npublish;
	const char *file; /* NULL: none */
	int file_fd;	  /* that it has under the same number, for `file`; -1: none */
};

/* What is waited for, and with what words; see readiness.h. */
struct own_wait {
	const char *verb, *option;
	const struct readiness *condition;
	size_t n;
	uint64_t timeout_s;
};

/* Its name is that of the kind and a number. Also the errno of pipe2(2). */
int own_machine_open(struct own_machine *m, const char *kind, int stop_fd, struct err *err);
/* Also what own_program_do() gives. */
int own_machine_start(struct own_machine *m, const struct own_start *start, struct err *err);
/* Until that has come true. Also what readiness_await() gives. */
int own_machine_await(struct own_machine *m, const struct own_wait *wait, struct err *err);
/* Until what a guest does when it wakes is done. Also ERR_FAILED when it has no agent, or ends
 * before, or `deadline` (CLOCK_MONOTONIC, ns) comes: with that line. */
int own_machine_await_wake(struct own_machine *m, uint64_t deadline, struct err *err);
/* The end of what its console said, with a NUL behind it, also when it has ended since; for the
 * caller to free. NULL: nothing, or no memory. */
char *own_machine_console(struct own_machine *m);
/* Put the last line of that behind the error. Returns `ret`. */
int own_machine_add_last_line(struct own_machine *m, int ret, struct err *err);
/* What runs commands in it, as long as it is there. */
struct test_guest own_machine_guest(struct own_machine *m);
/* It is gone, with its logs. */
void own_machine_end(struct own_machine *m);
void own_machine_close(struct own_machine *m);

#define cleanup_own_machine __attribute__((cleanup(own_machine_close)))

#endif
