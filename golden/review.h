/*
 * A review of what a test printed: hunk by hunk it is accepted or rejected. What is left in the edits
 * is what was accepted.
 *
 *     review_begin → while review_hunk: (show it, ask) review_decide → review_accepted, _complete
 *
 * Who asks, and where, is not seen here. Pure; one thread.
 */
#ifndef TORPOR_GOLDEN_REVIEW_H
#define TORPOR_GOLDEN_REVIEW_H

#include "golden/compare.h"

enum review_decision {
	REVIEW_ACCEPT,
	REVIEW_REJECT,	   /* the transcript stays as it is there */
	REVIEW_ACCEPT_ALL, /* and all hunks behind it, of this test */
	REVIEW_SKIP,	   /* reject it, and all hunks behind it, of this test */
	REVIEW_QUIT,	   /* as REVIEW_SKIP; no other test is to be reviewed either */
};

struct review {
	struct edits *edits; /* borrowed */
	struct edit_hunk hunk;
	size_t number, hunks; /* the hunk's, from 1, of so many */
	size_t accepted;
};

void review_begin(struct review *r, struct edits *edits);
/* The next hunk is r->hunk; false: none is left. */
bool review_hunk(struct review *r);
/* About r->hunk. */
void review_decide(struct review *r, enum review_decision decision);
/* What a word of one who was asked means; false: nothing. */
bool review_parse(const char *word, enum review_decision *decision);

/* Whether there is anything to write, and whether all of it was accepted. */
static inline bool review_accepted(const struct review *r)
{
	return r->accepted > 0;
}
static inline bool review_complete(const struct review *r)
{
	return r->accepted == r->hunks;
}

#endif
