/*
 * Whether a machine that has ended is started again, and after what time: --restart, with the words
 * and the times of docker's. Pure, any thread.
 */
#ifndef TORPOR_SERVICE_RESTART_H
#define TORPOR_SERVICE_RESTART_H

#include <stdint.h>

#include "base/err.h"

enum restart_when { RESTART_NO, RESTART_ON_FAILURE, RESTART_ALWAYS };

struct restart {
	enum restart_when when;
	unsigned most;	   /* so many times; 0: without end */
	unsigned count;	   /* so far */
	unsigned delay_ms; /* before the last one; 0: there was none */
};

enum restart_ending {
	ENDED_ASKED, /* somebody wanted that: never again */
	ENDED_WELL,  /* the guest has switched itself off, with status 0 */
	ENDED_BADLY,
};

/* "no", "on-failure", "on-failure:N" or "always". Returns 0, or -EINVAL with ERR_USAGE. */
int restart_parse(struct restart *r, const char *text, struct err *err);
/* It has ended after `lived_ns`; 0 for one that could not be started. Returns in how many milliseconds it
 * is to be started: 100, twice as many each time, a minute at most, and 100 again after one that
 * lived for ten seconds; or -1: not at all. */
int restart_after(struct restart *r, enum restart_ending ending, uint64_t lived_ns);

#endif
