/*
 * Waking up as the right machine: what the guest is owed after it was asleep, in this order.
 *
 *     before the vCPUs run   a new generation id (board_new_generation); requests for entropy that
 *                            lie in the queue are answered by this host as the device starts
 *     behind that, by the guest agent:
 *                            the wall clock (guest-set-time); the monotonic one is not touched
 *                            /etc/torpor/wake.d (wake_hooks.h), once
 *
 * A pause costs the guest only its wall clock: pauses are summed, and once they come to more than
 * a second the clock is set. What is owed is paid as soon as an agent answers, also after a long
 * time; that there is none is said once, in the log and by waking_json(), and harms nothing else.
 *
 *     waking_init → waking_open (behind the start) → waking_changed … → waking_close
 *
 * Machine lock held.
 */
#ifndef TORPOR_INSTANCE_WAKING_H
#define TORPOR_INSTANCE_WAKING_H

#include "instance/agent.h"
#include "instance/wake_hooks.h"
#include "vmm/machine.h"

#define WAKING_ABSENT_MS 5000u /* an agent that has not opened its port by then is not there */

/* Where one of the two things stands. */
enum waking_part {
	WAKING_NONE, /* never owed */
	WAKING_OWED,
	WAKING_BUSY,   /* being done */
	WAKING_DONE,   /* the hooks' own statuses may be failures */
	WAKING_FAILED, /* see its error */
};

struct waking {
	struct machine *machine;
	struct agent agent;
	struct timer timer; /* for the agent to appear; then for the next look at the hooks */
	struct wake_facts facts;
	uint64_t saved_ns; /* CLOCK_REALTIME of the save; 0: it was booted */
	bool open;
	bool going;
	bool told_absent;
	bool knows; /* what the agent offers: */
	unsigned able;
	uint64_t began; /* CLOCK_MONOTONIC of its first start, ns; 0: not yet */
	uint64_t took;	/* from then to the end of the last thing done, ns */

	enum waking_part clock;
	bool unchecked;	  /* nobody has asked the guest yet what it made of it */
	uint64_t asked;	  /* CLOCK_REALTIME of that question, ns */
	double off;	  /* guest's clock less ours, seconds */
	uint64_t stopped; /* CLOCK_BOOTTIME of the pause, ns */
	uint64_t behind;  /* ns of pauses that its clock does not know of */
	char clock_error[256];

	enum waking_part hooks;
	json_int_t pid;	    /* of the hooks' shell in the guest; 0: none */
	unsigned look_ms;   /* from one look at it to the next */
	unsigned looked_ms; /* in all */
	json_t *ran;	    /* owned; wake_hooks_report() */
	char hooks_error[256];
};

/* Takes the port. `saved_ns` is that of the file the machine woke from, or 0. facts->name must
 * outlive it; `asleep` is filled in here. */
void waking_init(struct waking *w, struct machine *m, struct chardev *port,
		 const struct wake_facts *facts, uint64_t saved_ns);
/* From here on things are done. */
int waking_open(struct waking *w, struct err *err);
/* Safe after waking_init() and on zeroes. */
void waking_close(struct waking *w);
/* The machine's state has changed. */
void waking_changed(struct waking *w);

/* See "wake" in protocol.h. */
json_t *waking_json(const struct waking *w);

#endif
