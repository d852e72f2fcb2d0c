/*
 * The host's end of the QEMU guest agent's protocol, on the console port org.qemu.guest_agent.0
 * (QEMU: interop/qemu-ga): a JSON object a line, a reply to each.
 *
 *     agent_init → agent_open (behind the start of the guest) → agent_go … agent_stop, agent_go …
 *     → agent_close
 *
 * Replies carry no number, and the first bytes may be half of an answer to a question from before
 * the save. So after a resume, and whenever the guest opens the port, the agent is first asked to
 * repeat a number (guest-sync-delimited). What comes before that number is dropped. The same is
 * done after a reply that was late or malformed.
 *
 * Several parts of a machine share the agent. One question is open at a time. The others wait in a
 * queue, first come, first served: who asks again and again is behind everybody who waits. So
 * nobody waits longer than for one question of each of the others.
 *
 * What the guest says is hostile: a line is bounded, and the caller checks every member it uses.
 *
 * Only agent_open() returns an error. A question that the agent refuses, does not answer in time or
 * answers with something else gets `why`, ERR_FAILED.
 *
 * Machine lock held; callbacks on the loop's or a vCPU's thread. No callback runs inside
 * agent_ask() or agent_stop().
 */
#ifndef TORPOR_GUEST_AGENT_H
#define TORPOR_GUEST_AGENT_H

#include <jansson.h>

#include "base/timer.h"
#include "devices/chardev.h"

#define AGENT_LINE_MAX (256u << 10) /* of a reply */
#define AGENT_SYNC_MS  10000u	    /* an agent of a guest that is being paged in is slow */

enum agent_state {
	AGENT_CLOSED,  /* no process of the guest has the port open, or we have not begun */
	AGENT_SYNCING, /* asked to repeat a number */
	AGENT_SILENT,  /* it did not, in time; it still may */
	AGENT_READY,   /* it may be asked */
};

/* `value`, borrowed, is what the agent returned; NULL: it did not, and `why` says why. */
typedef void agent_answer_fn(void *opaque, const json_t *value, const struct err *why);

/* Embedded in who asks, which keeps it valid until its answer or agent_close(). Zero at first. */
struct agent_question {
	struct agent_question *next;
	bool waits; /* in the queue, or open */
	char *text; /* owned; NULL without memory for it: then it stays unanswered */
	size_t len;
	unsigned timeout_ms; /* once it is open */
	agent_answer_fn *answer;
	void *opaque;
};

/* Told of changes of `state`. Embedded in who wants to know. */
struct agent_observer {
	struct agent_observer *next;
	void (*changed)(void *opaque);
	void *opaque;
};

struct agent {
	struct chardev *port;
	struct timer timer; /* of the number, or of the question */
	enum agent_state state;
	bool going;
	json_int_t number; /* that the agent is to repeat */

	struct agent_question *first; /* not owned; the open one when `open` */
	bool open;

	char sync[128];	 /* the question for the number */
	const char *out; /* of the open question or of `sync`: not yet taken by the port */
	size_t out_len;
	char *line; /* owned; AGENT_LINE_MAX bytes once used */
	size_t len;
	bool too_long; /* the rest of this line is dropped */
	/* What the guest told of its application's end (an event TORPOR_EXIT, which our init
	 * sends): 1 to 255; 0: nothing since the port was opened. */
	int exit_status;

	struct agent_observer *observers;
};

void agent_init(struct agent *a, struct chardev *port);
/* Before the guest runs. The last one that was added is told first. */
void agent_observe(struct agent *a, struct agent_observer *observer, void (*changed)(void *opaque),
		   void *opaque);
/* Returns 0, or what timer_open() gives. */
int agent_open(struct agent *a, struct loop *loop, struct err *err);
/* Safe after agent_init(); questions are forgotten. */
void agent_close(struct agent *a);

/* The machine runs; what is open now has its full time again. Synchronizes. */
void agent_go(struct agent *a);
/* It does not run any more: no time passes. */
void agent_stop(struct agent *a);

/* The guest was taken back to an earlier state, and does not run: all that wait are told so, and
 * agent_go() begins anew. */
void agent_forget(struct agent *a);

/* Only when READY, with a question that does not wait. `arguments`, taken, may be NULL. The answer
 * comes exactly once, unless agent_close() comes before it. When the agent is gone or silent, all
 * that wait are told so. */
void agent_ask(struct agent *a, struct agent_question *q, const char *command, json_t *arguments,
	       unsigned timeout_ms, agent_answer_fn *answer, void *opaque);

#define AGENT_ERROR_TEXT 200
/* What a process in the guest wrote to standard error, as guest-exec-status tells it: printable, "" when it is
 * nothing or longer than that. */
void agent_error_text(const json_t *status, char text[AGENT_ERROR_TEXT]);

#endif
