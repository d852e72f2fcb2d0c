/*
 * A rehearsal: a clone wakes without a terminal, without logs and records, until it has run for a
 * time or said something, and what it touched on the way is kept. See `torpor warm`.
 *
 *     rehearsal_watch (from the instance, lock held) → … the machine ends → rehearsal_end
 */
#ifndef TORPOR_INSTANCE_REHEARSAL_H
#define TORPOR_INSTANCE_REHEARSAL_H

#include "instance/console_hub.h"
#include "snapshot/touched.h"

#define REHEARSAL_MAX_TEXT 256u

struct rehearsal {
	uint64_t seconds;  /* at most */
	const char *until; /* NULL, or what it says on its console when it is over; 1 to
			      REHEARSAL_MAX_TEXT bytes */
	bool in_order;	   /* memory is paged, and the order noted */

	struct machine *machine;
	struct loop_watch timer_watch;
	int timer_fd;
	char last[REHEARSAL_MAX_TEXT]; /* what it said last, as long as `until` */
	size_t nlast;
	bool heard;
	struct touched touched; /* out; owned by the caller */
};

/* Begin to count and to listen. */
int rehearsal_watch(struct rehearsal *r, struct machine *m, struct console_hub *hub,
		    struct err *err);
/* The machine is over: see what it has touched. */
int rehearsal_end(struct rehearsal *r, const struct pager *pager, struct err *err);

#endif
