/*
 * What is done for a guest after it was resumed, in this order.
 *
 *     before the vCPUs run   a new generation id (board_new_generation); requests for entropy that
 *                            lie in the queue are answered by this host as the device starts
 *     behind that, by the guest agent:
 *                            new random numbers (reseed.h), when the guest's kernel has no driver of
 *                            the generation id
 *                            the wall clock (guest-set-time); the monotonic one is not touched
 *                            /etc/torpor/wake.d (resume_hooks.h), once
 *
 * A pause costs the guest only its wall clock: pauses are summed, and once they come to more than
 * a second the clock is set. What is owed is done as soon as an agent answers, also after a long
 * time; a missing agent is reported once in the log, and by post_resume_json(). The machine runs
 * all the same. Only post_resume_open() returns an error; what fails in the guest is in the state.
 *
 *     post_resume_init → post_resume_open (behind the start) → post_resume_changed …
 *     → post_resume_close
 *
 * Machine lock held.
 */
#ifndef TORPOR_INSTANCE_POST_RESUME_H
#define TORPOR_INSTANCE_POST_RESUME_H

#include "guest/agent.h"
#include "instance/resume_hooks.h"
#include "vmm/machine.h"

/* An agent that has not opened its port by then is not there. */
#define POST_RESUME_ABSENT_MS 5000u

/* Where one of the three things stands. */
enum post_resume_part {
	POST_RESUME_NONE, /* never owed */
	POST_RESUME_OWED,
	POST_RESUME_BUSY,   /* being done */
	POST_RESUME_DONE,   /* the hooks' own statuses may be failures */
	POST_RESUME_FAILED, /* see its error */
};

struct post_resume {
	struct machine *machine;
	struct agent agent;
	struct agent_observer observer;
	struct agent_question question;
	struct timer timer; /* for the agent to appear; then for the next look at the hooks */
	struct resume_facts facts;
	uint64_t saved_ns; /* CLOCK_REALTIME of the save; 0: it was booted */
	int64_t shift_ns;  /* what its clock is to say, less CLOCK_REALTIME */
	bool open;
	bool going;
	bool told_absent;
	bool knows; /* what the agent offers: */
	unsigned able;
	uint64_t began; /* CLOCK_MONOTONIC of its first start, ns; 0: not yet */
	uint64_t took;	/* from then to the end of the last thing done, ns */

	bool deaf; /* to the generation id */
	enum post_resume_part random;
	char random_error[256];

	enum post_resume_part clock;
	bool unchecked;	      /* the guest was not asked yet what its clock says */
	unsigned clock_tries; /* times that it was set, and was wrong all the same */
	uint64_t asked;	      /* what it was to say at that question, ns */
	double off;	      /* guest's clock less ours, seconds */
	uint64_t stopped;     /* CLOCK_BOOTTIME of the pause, ns */
	uint64_t behind;      /* ns of pauses that its clock does not know of */
	char clock_error[256];

	enum post_resume_part hooks;
	json_int_t pid;	    /* of the process in the guest that is waited for; 0: none */
	unsigned look_ms;   /* from one look at it to the next */
	unsigned looked_ms; /* in all */
	json_t *ran;	    /* owned; resume_hooks_report() */
	char hooks_error[256];
};

/* Takes the port. `saved_ns` is that of the file the machine was resumed from, or 0. facts->name
 * must outlive it; `asleep` is filled in here. */
void post_resume_init(struct post_resume *w, struct machine *m, struct chardev *port,
		      const struct resume_facts *facts, uint64_t saved_ns);
/* From here on the steps above are taken. Returns 0, or what timer_open() gives. */
int post_resume_open(struct post_resume *w, struct err *err);
/* The guest is taken back to the state that it was saved in, and does not run: all is owed again.
 * An agent is asked anew, for what it was asked is lost. */
void post_resume_again(struct post_resume *w);
/* Whether its kernel has a driver that a new generation id tells of it. Before it is started. */
void post_resume_hears_generation(struct post_resume *w, bool hears);
/* The guest's clock is to say `now_ns` now, instead of what the host's says. Before it is started;
 * until post_resume_again(). */
void post_resume_set_time(struct post_resume *w, int64_t now_ns);
/* Safe after post_resume_init() and on zeroes. */
void post_resume_close(struct post_resume *w);
/* The machine's state has changed. */
void post_resume_changed(struct post_resume *w);

/* See "wake" in protocol.h: a new object, or NULL without memory. */
json_t *post_resume_json(const struct post_resume *w);

#endif
