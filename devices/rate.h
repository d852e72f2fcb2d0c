/*
 * How many of something may begin a second, on average: a token bucket that holds what a tenth of a second
 * is worth.
 *
 * What begins may be larger than the bucket: then what comes next waits for longer. Pure, but for the caller's
 * lock; times are of one clock, in nanoseconds.
 */
#ifndef TORPOR_DEVICES_RATE_H
#define TORPOR_DEVICES_RATE_H

#include <stdbool.h>
#include <stdint.h>

#define RATE_MAX UINT64_C(10000000000) /* a second */

struct rate {
	uint64_t per_second; /* at most RATE_MAX; 0: no limit */
	uint64_t paid_ns;    /* when all that has begun is paid for */
};

/* How long to wait before the next may begin; 0: it may. */
uint64_t rate_wait_ns(const struct rate *r, uint64_t now_ns);
/* It begins, and costs so much. */
void rate_charge(struct rate *r, uint64_t cost, uint64_t now_ns);

#endif
