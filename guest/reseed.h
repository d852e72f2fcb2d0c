/*
 * New random numbers for a guest that was woken, by its agent (guest-exec). A kernel without a driver of the
 * generation id (VMGenID) goes on with the state that was saved: two machines of one file would draw the same
 * keys, and what is written to /dev/random is mixed in up to a minute later. So a program is brought that mixes a
 * seed of this host in and has the kernel use it at once (random(4): RNDADDENTROPY, RNDRESEEDCRNG). It is
 * torpor's helper with the seed behind its bytes.
 *
 * The shell is told that its name ($0) is `torpor-reseed`. The agent of our own init (guest/init/agent.c) knows
 * the request by it, and needs neither shell nor program.
 *
 * These functions make the request and read the answer. Any thread.
 */
#ifndef TORPOR_GUEST_RESEED_H
#define TORPOR_GUEST_RESEED_H

#include <jansson.h>

#include "base/err.h"

/* The arguments of guest-exec; NULL without memory, or without random numbers of this host. */
json_t *reseed_arguments(void);

/* What guest-exec-status returned of the process, which has exited. Returns 0; -EIO, ERR_FAILED: it could not,
 * with what it wrote. */
int reseed_check(const json_t *status, struct err *err);

#endif
