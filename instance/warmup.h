/*
 * A warmup: a clone is resumed without a terminal, logs and records. It ends after a time, or once
 * its console shows a text. The list of the frames that it touched is kept. See `torpor warm`.
 *
 *     warmup_watch (from the instance, lock held) → … the machine ends → warmup_end
 */
#ifndef TORPOR_INSTANCE_WARMUP_H
#define TORPOR_INSTANCE_WARMUP_H

#include "base/timer.h"
#include "instance/console_hub.h"
#include "snapshot/touched.h"

#define WARMUP_MAX_TEXT	   256u
#define WARMUP_MAX_SECONDS 86400u

struct warmup {
	uint64_t seconds;  /* at most; up to WARMUP_MAX_SECONDS */
	const char *until; /* NULL, or what the guest prints on its console at the end; 1 to
			      WARMUP_MAX_TEXT bytes */
	bool in_order;	   /* memory is paged, and the order noted */

	struct machine *machine;
	struct timer timer;
	char last[WARMUP_MAX_TEXT]; /* what it printed last, as long as `until` */
	size_t nlast;
	bool heard;		/* it ended because of `until` */
	bool timed_out;		/* because of `seconds`; neither: it ended in another way */
	struct touched touched; /* out; owned by the caller */
};

/* Start the timer and read the console. Returns 0, or the errno of timerfd_create(2) or
 * epoll_ctl(2). */
int warmup_watch(struct warmup *r, struct machine *m, struct console_hub *hub, struct err *err);
/* The machine is over: collect what it has touched. Returns 0, or what touched_collect() gives. */
int warmup_end(struct warmup *r, const struct pager *pager, struct err *err);

#endif
