/*
 * `torpor wait --until`, `torpor build --ready`: whether a machine is ready for something.
 *
 *     readiness_parse for each → readiness_await
 */
#ifndef TORPOR_CLI_READINESS_H
#define TORPOR_CLI_READINESS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum readiness_kind {
	READY_TEXT, /* its console shows it, or has shown it */
	READY_PORT, /* the guest accepts a connection to a published TCP port */
	READY_EXEC, /* the command succeeds in the guest */
};

struct readiness {
	enum readiness_kind kind;
	const char *text; /* the text, or the command for a shell; borrowed */
	uint16_t port;
};

#define READINESS_TEXT_MAX 1024u

/* "text:TEXT", "port:N", "exec:COMMAND"; a number alone is a port, other words alone are a text.
 * `option` is for messages. Returns 0, or -EINVAL with ERR_USAGE. */
int readiness_parse(const char *option, const char *arg, struct readiness *condition,
		    struct err *err);

struct readiness_wait {
	const char *verb, *option; /* for messages */
	const char *machine;
	const struct readiness *condition;
	size_t n;
	uint64_t timeout_s; /* at most, for all; 0: for ever */
	int stop_fd;	    /* readable once it is to end; -1: never */
};

/*
 * Wait until the conditions have come true, one after the other. On a terminal, a line on standard
 * error says after a second what is waited for.
 *
 * Returns 0; -ETIMEDOUT with ERR_FAILED; -ECANCELED when stop_fd became readable; -ENOENT with
 * ERR_NOT_FOUND for a machine that is unknown; ERR_FAILED when it ends or is broken or halted
 * before, when the port is not published, or what reading the log gives.
 */
int readiness_await(const struct readiness_wait *wait, struct err *err);

#endif
