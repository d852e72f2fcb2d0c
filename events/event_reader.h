/*
 * The events of all machines of this user, or of some, as they happen. The logs of the machines
 * (event_log.h) are followed by inotify(7), and their processes by pidfds: one that ends without
 * the word of it in its log is EVENT_DEAD. No machine is asked for anything.
 *
 *     event_reader_open → event_reader_run → event_reader_close
 *
 * A machine that starts later is followed too. One that starts and ends before the reader has
 * opened its log is seen only if it leaves its records (not `run --rm`).
 *
 * One thread. Functions that return int return 0, or -errno with *err set: what path_state_root()
 * and path_make_dirs() give, -ENOMEM, or the errno of inotify_init1(2), inotify_add_watch(2) or
 * epoll_wait(2).
 */
#ifndef TORPOR_EVENTS_EVENT_READER_H
#define TORPOR_EVENTS_EVENT_READER_H

#include <jansson.h>

#include "base/loop.h"

struct event_reader;

/* `event` is borrowed: "time", "event" and "name" are there, of the right types; everything else is
 * as the machine wrote it. Returns 0, or a negative errno with *err set, which ends the run. */
typedef int event_fn(void *opaque, const json_t *event, struct err *err);

struct event_params {
	char *const *name; /* of the machines; they need not exist */
	size_t nnames;	   /* 0: all */
	/* Events of the past, from then on, come first, in the order of their times: ns since 1970.
	 * UINT64_MAX: none. */
	uint64_t since;
	/* Ends then: ns since 1970. UINT64_MAX: never. */
	uint64_t until;
	event_fn *fn;
	void *opaque;
};

/* From here on no event is missed. `params` is copied; the names are kept. */
int event_reader_open(struct event_reader **reader, const struct event_params *params,
		      struct err *err);
/* Until the time is over, event_reader_stop(), or an error. */
int event_reader_run(struct event_reader *reader, struct err *err);
/* From a callback on the reader's loop. */
void event_reader_stop(struct event_reader *reader);
/* For watches of the caller; their callbacks run inside event_reader_run(). */
struct loop *event_reader_loop(struct event_reader *reader);
void event_reader_close(struct event_reader *reader);

#endif
