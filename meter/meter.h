/*
 * How far a verb is that takes long: bytes, rate and time left, on standard error.
 *
 *     meter_choose (--progress) → meter_begin → meter_run → … meter_hide, meter_show … → meter_end
 *
 * A process has one standard error, so there is one meter. Main thread, but for meter_hide() and
 * meter_show(), which any thread may call, and meter_on_signal(). Without a meter under way all but
 * meter_begin() do nothing.
 *
 * What is shown, by mode:
 *
 *     METER_AUTO   on a terminal, while we are in its foreground, one line that is written over and wiped
 *                  at the end, from METER_DELAY_MS on; on a terminal that has no such thing (TERM is
 *                  dumb or not set) the lines of METER_PLAIN, without the last; elsewhere nothing
 *     METER_PLAIN  lines, each second at first and each ten seconds later, and one at the end
 *     METER_JSON   the same as JSON, one object a line:
 *                  {"progress":verb,"state":"running"|"done"|"failed"|"cancelled","done":bytes,
 *                   "expected":bytes|null,"rate":bytes a second,"left":seconds|null,"seconds":n}
 *     METER_NONE   nothing
 */
#ifndef TORPOR_METER_METER_H
#define TORPOR_METER_METER_H

#include <stdbool.h>

#include "base/progress.h"

#define METER_MODES    "plain|json|none"
#define METER_DELAY_MS 500

/* The mode of this process. Returns 0, or -EINVAL with ERR_USAGE. */
int meter_choose(const char *mode, struct err *err);

/* Who knows how far it is, instead of meter_progress(): asked on the meter's thread, again and again.
 * False: unknown at the moment. */
typedef bool meter_look(void *opaque, uint64_t *done, uint64_t *expected);

struct meter_params {
	const char *verb;      /* a literal */
	const char *cancelled; /* what is true when a signal ends the verb: a literal, one line */
	const char *waits_for; /* NULL, or who is to send: said as long as nothing has come */
	meter_look *look;      /* or NULL */
	void *opaque;
};

/* There is none under way. Before the sandbox: it opens a descriptor. Returns 0, or what
 * progress_init() gives. */
int meter_begin(const struct meter_params *params, struct err *err);
/* Show it from here on: with the mode that needs one a thread is started, which the sandbox is then
 * for, too. One that cannot be started shows nothing. */
void meter_run(void);
/* What the job reports to; NULL without a meter. */
struct progress *meter_progress(void);
/* Around what others print: the line is wiped, and comes again. Nested calls count. */
void meter_hide(void);
void meter_show(void);
/* `ret` of the job: < 0, it failed. From here on a signal cancels nothing. What meter_progress() was told goes
 * before what was seen by looking. */
void meter_end(int ret);

/* The same words, of a verb that has cleaned up behind a signal, with or without a meter under way before. */
void meter_say_cancelled(const char *verb, const char *cancelled);

/* In the handler of a signal that ends the process: says that the verb is cancelled, and what is so
 * then. Async-signal-safe. */
void meter_on_signal(void);

#endif
