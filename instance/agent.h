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
 * done after a reply that was late or malformed. One question is open at a time.
 *
 * What the guest says is hostile: a line is bounded, and the caller checks every member it uses.
 *
 * Machine lock held; callbacks on the loop's or a vCPU's thread. No callback runs inside
 * agent_ask() or agent_stop().
 */
#ifndef TORPOR_INSTANCE_AGENT_H
#define TORPOR_INSTANCE_AGENT_H

#include <jansson.h>

#include "base/timer.h"
#include "devices/chardev.h"

#define AGENT_LINE_MAX	   (256u << 10) /* of a reply */
#define AGENT_QUESTION_MAX (16u << 10)
#define AGENT_SYNC_MS	   10000u /* an agent of a guest that is being paged in is slow */

enum agent_state {
	AGENT_CLOSED,  /* nobody in the guest has the port open, or we have not begun */
	AGENT_SYNCING, /* asked to repeat a number */
	AGENT_SILENT,  /* it did not, in time; it still may */
	AGENT_READY,   /* it may be asked */
};

/* `value`, borrowed, is what the agent returned; NULL: it did not, and `why` says why. */
typedef void agent_answer_fn(void *opaque, const json_t *value, const struct err *why);

struct agent {
	struct chardev *port;
	struct timer timer; /* of the number, or of the question */
	enum agent_state state;
	bool going;
	json_int_t number; /* that the agent is to repeat */

	agent_answer_fn *answer; /* NULL: no question is open */
	void *answer_opaque;
	unsigned answer_ms; /* it has */

	char out[AGENT_QUESTION_MAX]; /* not yet taken by the port */
	size_t out_start, out_len;
	char *line; /* owned; AGENT_LINE_MAX bytes once used */
	size_t len;
	bool too_long; /* the rest of this line is dropped */

	/* `state` has changed. */
	void (*changed)(void *opaque);
	void *changed_opaque;
};

void agent_init(struct agent *a, struct chardev *port, void (*changed)(void *opaque), void *opaque);
/* Returns 0, or what timer_open() gives. */
int agent_open(struct agent *a, struct loop *loop, struct err *err);
/* Safe after agent_init(); an open question is forgotten. */
void agent_close(struct agent *a);

/* The machine runs; what is open now has its full time again. Synchronizes. */
void agent_go(struct agent *a);
/* It does not run any more: no time passes. */
void agent_stop(struct agent *a);

/* Only when READY and with no question open. `arguments`, taken, may be NULL. The answer comes
 * exactly once, unless agent_close() comes before it. */
void agent_ask(struct agent *a, const char *command, json_t *arguments, unsigned timeout_ms,
	       agent_answer_fn *answer, void *opaque);

#endif
