/* See test_review.h. */
#include "cli/test_review.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/printable.h"
#include "cli/print_line.h"
#include "golden/review.h"
#include "golden/test_files.h"

#define GREEN "\033[32m"
#define RED   "\033[31m"
#define CYAN  "\033[36m"
#define PLAIN "\033[m"

#define LINE_SIZE 64

/* Set, and not to nothing, as CI services do. */
static bool in_ci(void)
{
	const char *ci = getenv("CI");

	return ci != NULL && ci[0] != '\0';
}

int test_update_possible(struct err *err)
{
	if (in_ci())
		return err_set(err, ERR_USAGE,
			       "--update with CI set: nobody would look at what it accepts");
	return 0;
}

int test_review_possible(struct err *err)
{
	if (in_ci())
		return err_set(err, ERR_USAGE, "--interactive with CI set: nobody would answer");
	if (isatty(STDIN_FILENO) != 1 || isatty(STDOUT_FILENO) != 1)
		return err_set(err, ERR_USAGE,
			       "--interactive asks on a terminal, and standard input or output is "
			       "none; --diff prints what it would ask about");
	return 0;
}

/* ---- showing ---- */

static const char *color_of(char sign)
{
	const char *off = getenv("NO_COLOR");

	if (off != NULL && off[0] != '\0')
		return NULL;
	return sign == '+' ? GREEN : sign == '-' ? RED : sign == '@' ? CYAN : NULL;
}

static void show_line(const char *text, size_t len)
{
	cleanup_free char *line = malloc(len + 1);
	const char *color = len > 0 ? color_of(text[0]) : NULL;

	if (line == NULL)
		return;
	for (size_t i = 0; i < len; i++)
		line[i] = text[i] != '\0' ? text[i] : '\x01';
	line[len] = '\0';
	printable_utf8(line);
	printf("%s%s%s\n", color != NULL ? color : "", line, color != NULL ? PLAIN : "");
}

static void show_hunk(const struct review *review, const char *path)
{
	cleanup_buf struct buf diff = {0};
	const char *at, *end;

	edits_hunk_diff(review->edits, &review->hunk, &diff);
	print_line(stdout, "%s: %zu of %zu", path, review->number, review->hunks);
	at = (const char *)diff.data;
	end = at + diff.len;
	while (at < end && !buf_failed(&diff)) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));

		show_line(at, (size_t)(newline - at));
		at = newline + 1;
	}
}

/* ---- asking ---- */

/* A line of the terminal, "" of a long one; false: there will be none. */
static bool read_answer(char line[LINE_SIZE], int stop_fd)
{
	struct pollfd fds[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
				{.fd = stop_fd, .events = POLLIN}};
	bool whole = true;
	ssize_t n;

	for (;; whole = false) {
		if (poll(fds, 2, -1) < 0 || fds[1].revents != 0)
			return false;
		n = read(STDIN_FILENO, line, LINE_SIZE - 1);
		if (n <= 0)
			return false;
		if (line[n - 1] == '\n')
			break;
	}
	line[whole ? n - 1 : 0] = '\0';
	return true;
}

static enum review_decision ask(int stop_fd)
{
	enum review_decision decision;
	char line[LINE_SIZE];

	for (;;) {
		printf("Is this right? [a]ccept, [r]eject, [A]ll, [s]kip this test, [q]uit: ");
		fflush(stdout);
		if (!read_answer(line, stop_fd)) {
			printf("\n");
			return REVIEW_QUIT;
		}
		if (review_parse(line, &decision))
			return decision;
		printf("a, accept   the test must say what was printed\n"
		       "r, reject   it stays as it is here, and fails\n"
		       "A, all      accept this and the rest of this test\n"
		       "s, skip     reject this and the rest of this test\n"
		       "q, quit     reject this and all that follows\n");
	}
}

/* ---- a test ---- */

/* Whoever edits it meanwhile has the last word. */
static int rewrite(const struct test_result *result, struct err *err)
{
	cleanup_transcript struct transcript now = {0};
	const struct transcript *then = &result->transcript;
	mode_t mode;
	int ret = test_file_read(result->path, &now, &mode, err);

	if (ret < 0)
		return ret;
	if (!transcript_same(&now, then))
		return err_set(err, ERR_FAILED, "it has changed since it was run");
	return test_file_rewrite(result->path, mode, &result->edits, err);
}

/* Returns false when the review is to end. */
static bool review_test(struct test_result *result, int stop_fd, bool *good)
{
	enum review_decision decision = REVIEW_ACCEPT;
	struct review review;
	struct err err = {0};

	review_begin(&review, &result->edits);
	while (review_hunk(&review)) {
		show_hunk(&review, result->path);
		decision = ask(stop_fd);
		review_decide(&review, decision);
	}
	if (!review_accepted(&review))
		return decision != REVIEW_QUIT;
	if (rewrite(result, &err) < 0) {
		print_line(stderr, "torpor: test: %s: %s", result->path, err.text);
		*good = false;
	} else {
		print_line(stdout, "%s: rewritten", result->path);
		if (review_complete(&review))
			result->outcome = TEST_UPDATED;
	}
	return decision != REVIEW_QUIT;
}

/* In another round, which was reviewed. */
static bool was_reviewed(const struct test_report *report, const struct test_result *result)
{
	for (const struct test_result *t = report->result; t < result; t++) {
		if (t->edits.n > 0 && strcmp(t->path, result->path) == 0)
			return true;
	}
	return false;
}

bool test_review(struct test_report *report, int stop_fd)
{
	bool good = true;

	/* What was typed before there was a question answers none. */
	(void)tcflush(STDIN_FILENO, TCIFLUSH);
	for (size_t i = 0; i < report->n; i++) {
		struct test_result *result = &report->result[i];

		if (result->outcome != TEST_FAILED || was_reviewed(report, result))
			continue;
		if (!review_test(result, stop_fd, &good))
			break;
	}
	fflush(stdout);
	return good;
}
