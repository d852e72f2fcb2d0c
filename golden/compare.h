/*
 * What a test printed against what it should: an edit script from the transcript to what it would
 * have to say, and that as a unified diff or as the new text.
 *
 *     compare_begin → compare_output for each command that ran, in order → compare_end
 *     → edits_differ, edits_diff, edits_text … → edits_free
 *
 * Output is bytes of any kind. A line that would read as something else in a transcript (a command,
 * a status, bytes that are not printable UTF-8) is written with ` (esc)`. Pure; one thread.
 */
#ifndef TORPOR_GOLDEN_COMPARE_H
#define TORPOR_GOLDEN_COMPARE_H

#include "golden/transcript.h"

enum edit_kind {
	EDIT_KEEP, /* in both */
	EDIT_DROP, /* in the transcript only */
	EDIT_ADD,  /* in the output only */
};

struct edit {
	enum edit_kind kind;
	char *owned; /* NULL: the line is the transcript's */
	struct text_line line;
};

struct edits {
	const struct transcript *transcript; /* borrowed */
	struct edit *edit;
	size_t n;
	size_t next; /* line of the transcript that is not in `edit` yet */
};

void compare_begin(struct edits *e, const struct transcript *t);
/* What the command printed, and its exit status. Returns 0 or -ENOMEM. */
int compare_output(struct edits *e, const struct transcript_command *command, const char *output,
		   size_t len, int status, struct err *err);
/* The rest of the transcript is as it is: commands that did not run. Returns 0 or -ENOMEM. */
int compare_end(struct edits *e, struct err *err);

bool edits_differ(const struct edits *e);
/* A unified diff with three lines of context (POSIX diff -u), "" when there is none. `old` and
 * `new` are the names in its head. */
void edits_diff(const struct edits *e, const char *old, const char *new, struct buf *out);
/* A part of that diff: changes that are near one another, with the lines around them. The lines of
 * both sides are counted from 0. */
struct edit_hunk {
	size_t first, end; /* of the edits */
	size_t old_line, nold;
	size_t new_line, nnew;
};
/* From zeroes the first hunk, from one hunk the next one; false: there is none left. */
bool edits_hunk(const struct edits *e, struct edit_hunk *hunk);
/* "@@ … @@" and its lines. */
void edits_hunk_diff(const struct edits *e, const struct edit_hunk *hunk, struct buf *out);
/* The hunk's lines are as the transcript has them. edits_hunk() goes on behind it. */
void edits_undo(struct edits *e, struct edit_hunk *hunk);

/* The transcript as it would have to be. */
void edits_text(const struct edits *e, struct buf *out);
void edits_free(struct edits *e);

#define cleanup_edits __attribute__((cleanup(edits_free)))

#endif
