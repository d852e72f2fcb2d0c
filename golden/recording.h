/*
 * The recording of a golden, as far as its text goes: a recipe, and what its commands printed in
 * the machine that it says. What boots and saves that machine is the caller's.
 *
 *     recording_read → recording_run → recording_differs → recording_free
 *
 * One thread.
 */
#ifndef TORPOR_GOLDEN_RECORDING_H
#define TORPOR_GOLDEN_RECORDING_H

#include "golden/recipe.h"
#include "golden/test_run.h"

/* Not to be copied: its parts point into it. */
struct recording {
	struct recipe recipe;
	mode_t mode;		   /* of its file */
	struct test_result result; /* its path, steps and edits; the transcript is the recipe's */
};

/* Read the recipe at `path`. Returns 0; or what test_file_text() and recipe_parse() give, with the
 * path before the text, and then there is nothing to free. */
int recording_read(struct recording *r, const char *path, struct err *err);
/* Run its commands, once. Returns what test_run() gives. */
int recording_run(struct recording *r, const struct test_place *place, struct err *err);
/* Whether they printed something else than the recipe says. */
bool recording_differs(const struct recording *r);
/* That as a unified diff. */
void recording_diff(const struct recording *r, struct buf *out);
/* Rewrite the recipe so that it says what they printed. Returns what test_file_rewrite() gives, with
 * the path before the text. */
int recording_accept(const struct recording *r, struct err *err);
/* Safe on zeroes. */
void recording_free(struct recording *r);

#define cleanup_recording __attribute__((cleanup(recording_free)))

#endif
