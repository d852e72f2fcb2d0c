/* Completion for shells. The files cli/completion.* are written by hand, but for what lies between two lines of
 * comment: that is what the tables of verbs say, which is made here, and a test compares the two. */
#ifndef TORPOR_TESTS_UNIT_COMPLETION_H
#define TORPOR_TESTS_UNIT_COMPLETION_H

#include <stdio.h>

struct completion {
	const char *path;	  /* the committed file */
	void (*print)(FILE *out); /* what stands between the two lines */
};

#define COMPLETION_BEGIN "# From the tables of verbs, by UPDATE_GOLDEN=1 of the unit tests:\n"
#define COMPLETION_END	 "# So far the tables.\n"

extern const struct completion completions[3];

#endif
