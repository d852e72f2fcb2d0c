/* Reviews of what a test printed, and expectations that are changed in every way. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "golden/review.h"

/* Three commands, and what they print. */
static const char text[] = "golden: a.torpor\n"
			   "\n"
			   "Words.\n"
			   "\n"
			   "  $ first\n"
			   "  one\n"
			   "  two\n"
			   "  three\n"
			   "  [3]\n"
			   "\n"
			   "More words,\n"
			   "on three\n"
			   "lines.\n"
			   "\n"
			   "  $ second\n"
			   "  <<<<<<< HEAD\n"
			   "  a\\tb\\r (esc)\n"
			   "  \n"
			   "  end (no-eol)\n"
			   "\n"
			   "Yet\n"
			   "more\n"
			   "words,\n"
			   "for three\n"
			   "lines.\n"
			   "  $ third\n"
			   "  [0-9]+ of x* (re)\n"
			   "  ?t goes (glob)\n"
			   "The end.\n";
static const struct {
	const char *output;
	int status;
} ran[] = {
	{"one\ntwo\nthree\n", 3}, {"<<<<<<< HEAD\na\tb\r\n\nend", 0}, {"17 of xxx\nit goes\n", 0}};

struct comparison {
	struct transcript transcript;
	struct edits edits;
};

static void compare(struct comparison *c, const char *from)
{
	struct err err;

	cr_assert(zero(i32, transcript_parse(&c->transcript, strdup(from), strlen(from), &err)));
	cr_assert(eq(sz, c->transcript.ncommands, 3));
	compare_begin(&c->edits, &c->transcript);
	for (size_t i = 0; i < 3; i++)
		cr_assert(zero(i32,
			       compare_output(&c->edits, &c->transcript.command[i], ran[i].output,
					      strlen(ran[i].output), ran[i].status, &err)));
	cr_assert(zero(i32, compare_end(&c->edits, &err)));
}

static void comparison_free(struct comparison *c)
{
	edits_free(&c->edits);
	transcript_free(&c->transcript);
}

static char *new_text(const struct edits *e)
{
	cleanup_buf struct buf out = {0};

	edits_text(e, &out);
	return strndup((char *)out.data, out.len);
}

static char *diff_of(const struct edits *e)
{
	cleanup_buf struct buf out = {0};

	edits_diff(e, "x", "x", &out);
	return strndup(out.data != NULL ? (char *)out.data : "", out.len);
}

static void decide_all(struct edits *e, enum review_decision decision)
{
	struct review review;

	review_begin(&review, e);
	while (review_hunk(&review))
		review_decide(&review, decision);
}

/* A changed text differs where it was changed; what is accepted passes the next time, and what is
 * rejected is what it was. `gone` is a line of the diff. */
static void check_changed(const char *changed, const char *gone)
{
	struct comparison c = {0}, again = {0};
	char *accepted, *rejected, *diff;

	compare(&c, changed);
	cr_assert(ne(i32, edits_differ(&c.edits), 0), "%s", changed);
	diff = diff_of(&c.edits);
	cr_expect(ne(ptr, strstr(diff, gone), NULL), "no %s in %s", gone, diff);
	free(diff);
	decide_all(&c.edits, REVIEW_ACCEPT);
	accepted = new_text(&c.edits);
	compare(&again, accepted);
	cr_expect(zero(i32, edits_differ(&again.edits)), "%s", accepted);
	comparison_free(&again);
	decide_all(&c.edits, REVIEW_REJECT);
	rejected = new_text(&c.edits);
	cr_expect(eq(str, rejected, (char *)changed));
	cr_expect(zero(i32, edits_differ(&c.edits)));
	comparison_free(&c);
	free(accepted);
	free(rejected);
}

Test(review, each_expected_line_that_is_changed_in_any_way_is_a_difference)
{
	struct comparison c = {0};
	size_t changes = 0;

	compare(&c, text);
	cr_assert(zero(i32, edits_differ(&c.edits)));
	for (size_t i = 0; i < 3; i++) {
		const struct transcript_command *command = &c.transcript.command[i];

		for (size_t k = 0; k < command->nexpected; k++) {
			const struct text_line *line = &c.transcript.line[command->expected + k];
			int before = (int)(line->text - c.transcript.text);
			const char *behind = line->text + line->len + 1;
			char changed[1000], gone[200];

			/* Not there; there twice; another one; longer; as if it were a pattern. */
			snprintf(changed, sizeof(changed), "%.*s%s", before, text, behind);
			snprintf(gone, sizeof(gone), "\n+  ");
			check_changed(changed, gone);
			snprintf(changed, sizeof(changed), "%.*s%.*s\n%s", before, text,
				 (int)line->len, line->text, line->text);
			snprintf(gone, sizeof(gone), "\n-%.*s\n", (int)line->len, line->text);
			check_changed(changed, gone);
			snprintf(changed, sizeof(changed), "%.*s  other\n%s", before, text, behind);
			check_changed(changed, "\n-  other\n");
			snprintf(changed, sizeof(changed), "%.*s%.*s!\n%s", before, text,
				 (int)line->len, line->text, behind);
			snprintf(gone, sizeof(gone), "\n-%.*s!\n", (int)line->len, line->text);
			check_changed(changed, gone);
			snprintf(changed, sizeof(changed), "%.*s  no( (re)\n%s", before, text,
				 behind);
			check_changed(changed, "\n-  no( (re)\n");
			changes += 5;
		}
	}
	cr_expect(eq(sz, changes, 50));
	comparison_free(&c);
}

/* Three hunks, and a bit for each that is accepted. */
Test(review, any_of_the_hunks_can_be_accepted_without_the_others)
{
	static const char *const old[] = {"  1st\n", "  2nd (no-eol)\n", "  3rd\n"};
	static const char *const now[] = {"  two\n", "  end (no-eol)\n", "  [0-9]+ of x* (re)\n"};
	char changed[1000] = "";

	for (const char *at = text; *at != '\0';) {
		size_t which = 0, len = strcspn(at, "\n") + 1;

		while (which < 3 && strncmp(at, now[which], strlen(now[which])) != 0)
			which++;
		strncat(changed, which < 3 ? old[which] : at, which < 3 ? 100 : len);
		at += len;
	}
	for (unsigned bits = 0; bits < 8; bits++) {
		struct comparison c = {0};
		struct review review;
		char *result;

		compare(&c, changed);
		review_begin(&review, &c.edits);
		cr_assert(eq(sz, review.hunks, 3));
		for (unsigned i = 0; review_hunk(&review); i++) {
			cr_expect(eq(sz, review.number, i + 1));
			review_decide(&review, bits >> i & 1 ? REVIEW_ACCEPT : REVIEW_REJECT);
		}
		result = new_text(&c.edits);
		for (unsigned i = 0; i < 3; i++)
			cr_expect(zero(ptr, strstr(result, bits >> i & 1 ? old[i] : now[i])),
				  "%u: %s", bits, result);
		cr_expect(eq(i32, review_accepted(&review), bits != 0));
		cr_expect(eq(i32, review_complete(&review), bits == 7));
		free(result);
		comparison_free(&c);
	}
}

Test(review, all_and_skip_are_about_the_rest_of_the_test)
{
	static const struct {
		enum review_decision first, then;
		size_t accepted;
	} cases[] = {
		{REVIEW_ACCEPT_ALL, REVIEW_ACCEPT_ALL, 3}, {REVIEW_SKIP, REVIEW_SKIP, 0},
		{REVIEW_REJECT, REVIEW_ACCEPT_ALL, 2},	   {REVIEW_ACCEPT, REVIEW_SKIP, 1},
		{REVIEW_ACCEPT, REVIEW_QUIT, 1},
	};
	static const char nothing[] =
		"  $ first\n\n\n\n\n\n\n\n  $ second\n\n\n\n\n\n\n\n  $ third\n";

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct comparison c = {0};
		struct review review;

		compare(&c, nothing);
		review_begin(&review, &c.edits);
		cr_assert(ne(i32, review_hunk(&review), 0));
		review_decide(&review, cases[i].first);
		if (review_hunk(&review))
			review_decide(&review, cases[i].then);
		cr_expect(zero(i32, review_hunk(&review)));
		cr_expect(eq(sz, review.accepted, cases[i].accepted));
		comparison_free(&c);
	}
}

Test(review, an_answer_is_a_letter_or_a_word)
{
	enum review_decision d = REVIEW_QUIT;

	cr_expect(ne(i32, review_parse("a", &d), 0));
	cr_expect(eq(i32, (int)d, REVIEW_ACCEPT));
	cr_expect(ne(i32, review_parse("A", &d), 0));
	cr_expect(eq(i32, (int)d, REVIEW_ACCEPT_ALL));
	cr_expect(ne(i32, review_parse("reject", &d), 0));
	cr_expect(eq(i32, (int)d, REVIEW_REJECT));
	cr_expect(zero(i32, review_parse("", &d)));
	cr_expect(zero(i32, review_parse("yes", &d)));
	cr_expect(zero(i32, review_parse("a ", &d)));
}
