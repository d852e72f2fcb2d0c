/*
 * What a download fetches next.
 *
 * Somebody waits for a demand, so that comes first, then what was hinted at, then everything else,
 * in the background: the files that are `first` whole, each in one range, then the rest in order.
 * The rest waits until those are there, and until nobody has waited for anything for a moment: a
 * guest that has just missed something is likely to miss more, and has the link to itself. Where
 * that goes on and on, the rest has a turn now and then. A guest that begins counts as one that has
 * missed something. Of the rest the seek tables come first: without them a frame takes two round trips.
 *
 * A range is of blocks (ARRIVAL_BLOCK) that are missing and that nobody fetches already. Demands
 * that lie side by side are fetched as one; what is asked for one behind the other is read ahead.
 *
 * One thread at a time: callers have a lock. Nothing is fetched here; what is missing is what the
 * arrivals say.
 */
#ifndef TORPOR_WIRE_PLAN_H
#define TORPOR_WIRE_PLAN_H

#include <stddef.h>

#include "base/arrival.h"
#include "base/clock.h"

#define PLAN_LEAST (64u << 10)
#define PLAN_MOST  (1u << 20)
/* Ranges under way at the same time, at most. */
#define PLAN_JOBS 8u
/* Of the rest: one after a demand, and one more after each beside which nobody waited. */
#define PLAN_REST 3u
/* How long after a demand the rest goes on, and how long after its last range it has a turn. */
#define PLAN_MOMENT_NS (200 * NS_PER_MS)
#define PLAN_TURN_NS   (2 * NS_PER_SECOND)

enum plan_kind {
	PLAN_DEMAND,
	PLAN_HINT,
	PLAN_BACKGROUND,
};

struct plan_range {
	uint32_t file;
	uint64_t from, len;
};

struct plan_file {
	bool first; /* the caller's to set: what a guest touches at once */
	/* The caller's to set: no ranges of it can be had. Then all of it is one range, from its
	 * beginning, while anything is missing. */
	bool whole;
	uint64_t table; /* the caller's to set: a seek table begins here; 0: there is none */
	bool ended;	/* the caller's to set: nothing of it is to be fetched */
	/* The caller's to set: another download of the same file. In the background only what that has
	 * is taken, and the rest is left to it; NULL: there is none. */
	const struct arrival *beside;
	uint64_t behind;  /* the last demand's range ended here */
	uint64_t forward; /* and this much is read at the next one that begins there */
};

struct plan_queue {
	struct plan_range *item; /* owned */
	size_t count;
};

struct plan {
	struct arrivals *set;	/* borrowed */
	struct plan_file *file; /* owned, as many as the set has */
	struct plan_queue demands, hints;
	struct plan_range job[PLAN_JOBS]; /* under way; len 0: free */
	enum plan_kind kind[PLAN_JOBS];
	unsigned rest;	    /* ranges of the rest that may be under way */
	uint64_t demand_ns; /* when somebody waited for the last time, as far as is known */
	uint64_t rest_ns;   /* when the last range in the background ended */
};

/* A guest begins at `now_ns`. Returns 0 or -ENOMEM. */
int plan_init(struct plan *p, struct arrivals *set, uint64_t now_ns, struct err *err);
void plan_free(struct plan *p);

/* There is room for requests: what is not taken stays in the socket. */
bool plan_has_room(const struct plan *p);
/* Returns 0 or -ENOMEM. */
int plan_ask(struct plan *p, const struct arrivals_request *request, struct err *err);

/* The next range, of these kinds (a bit for each enum plan_kind), which is then under way: the
 * index of its job; -1: there is none. `now_ns` is of clock_monotonic_ns(), here and below. */
int plan_next(struct plan *p, unsigned kinds, uint64_t now_ns);
/* It is not under way any more, whatever came of it. */
void plan_done(struct plan *p, int job, uint64_t now_ns);
/* After plan_next() of all kinds gave -1 at `now_ns`: so long from then the rest is due. 0: that
 * is no matter of time. */
uint64_t plan_wait_ns(const struct plan *p, uint64_t now_ns);

unsigned plan_under_way(const struct plan *p, enum plan_kind kind);
/* Nothing of the file is missing or under way. */
bool plan_file_is_there(const struct plan *p, uint32_t file);

#endif
