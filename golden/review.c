/* See review.h. */
#include "golden/review.h"

#include <string.h>

void review_begin(struct review *r, struct edits *edits)
{
	struct edit_hunk hunk = {0};

	*r = (struct review){.edits = edits};
	while (edits_hunk(edits, &hunk))
		r->hunks++;
}

bool review_hunk(struct review *r)
{
	if (!edits_hunk(r->edits, &r->hunk))
		return false;
	r->number++;
	return true;
}

void review_decide(struct review *r, enum review_decision decision)
{
	switch (decision) {
	case REVIEW_ACCEPT:
		r->accepted++;
		return;
	case REVIEW_REJECT:
		edits_undo(r->edits, &r->hunk);
		return;
	case REVIEW_ACCEPT_ALL:
		do
			r->accepted++;
		while (review_hunk(r));
		return;
	case REVIEW_SKIP:
	case REVIEW_QUIT:
		do
			edits_undo(r->edits, &r->hunk);
		while (review_hunk(r));
	}
}

bool review_parse(const char *word, enum review_decision *decision)
{
	static const struct {
		const char *letter, *word;
		enum review_decision decision;
	} words[] = {
		{"a", "accept", REVIEW_ACCEPT},	 {"r", "reject", REVIEW_REJECT},
		{"A", "all", REVIEW_ACCEPT_ALL}, {"s", "skip", REVIEW_SKIP},
		{"q", "quit", REVIEW_QUIT},
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(word, words[i].letter) == 0 || strcmp(word, words[i].word) == 0) {
			*decision = words[i].decision;
			return true;
		}
	}
	return false;
}
