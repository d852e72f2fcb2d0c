/*
 * What `torpor test` tells: results on standard output, progress on a terminal, and files.
 *
 *     report_args_take for each option → test_reports_open → test_reports_begin → test_reports_result,
 *     _progress, _retired (of struct runner_params) → test_reports_end → test_reports_close
 *
 * The callbacks come one at a time. Files are opened first, so that one that cannot be written is an
 * error before any test runs.
 */
#ifndef TORPOR_CLI_TEST_REPORTS_H
#define TORPOR_CLI_TEST_REPORTS_H

#include "base/tempfile.h"
#include "cli/options.h"
#include "golden/runner.h"

enum {
	OPTION_TAP = OPTION_LONG_ONLY + 240,
	OPTION_DIFF,
	OPTION_JUNIT,
	OPTION_HTML,
};

/* clang-format off */
#define REPORT_OPTIONS                                                                             \
	{OPTION_TAP, "tap", NULL, "print TAP"},                                                    \
	{OPTION_JSON, "json", NULL, "print JSON, at the end"},                                     \
	{OPTION_DIFF, "diff", NULL, "print what `patch -p0` takes to accept what the tests print"}, \
	{'i', "interactive", NULL, "ask about each difference, and rewrite the tests"},            \
	{OPTION_JUNIT, "junit", "FILE", "write a report as JUnit XML"},                            \
	{OPTION_HTML, "html", "FILE", "write a report as one HTML page"}
/* clang-format on */

/* What is printed on standard output. */
enum report_form {
	REPORT_TEXT, /* a line, a diff for each result as it comes */
	REPORT_TAP,
	REPORT_JSON,
	REPORT_DIFF,   /* diffs alone */
	REPORT_REVIEW, /* a line for each result; who reviews them sees the diffs */
};

struct report_args {
	enum report_form form;
	const char *junit, *html; /* borrowed; NULL: no such file */
};

/* Take an option that is one of REPORT_OPTIONS: 1, 0 when it is not, or -EINVAL with ERR_USAGE, also
 * when two forms are given. */
int report_args_take(struct report_args *args, int id, const char *value, struct err *err);

/* Whether a report tells what each test has changed. */
bool report_args_want_changes(const struct report_args *args);

struct test_reports {
	const struct report_args *args; /* borrowed */
	size_t printed;			/* results */
	bool progress;			/* standard error is a terminal, */
	bool line;			/* and has a line about the progress */
	struct tempfile junit, html;
};

/* Returns 0, or what tempfile_open() gives; then nothing is open. */
int test_reports_open(struct test_reports *reports, const struct report_args *args,
		      struct err *err);
/* So many results will come. */
void test_reports_begin(const struct test_reports *reports, size_t results);
void test_reports_result(void *opaque, const struct runner_state *state,
			 const struct test_result *result);
void test_reports_progress(void *opaque, const struct runner_state *state);
void test_reports_retired(void *opaque, unsigned worker, const struct err *why);
/* The terminal has no line about the progress. */
void test_reports_clear(struct test_reports *reports);
/* Print the end and write the files, also of a run that was interrupted. Returns whether all of it
 * was; what could not be is printed, with the file's name. */
bool test_reports_end(struct test_reports *reports, const struct test_report *report);
void test_reports_close(struct test_reports *reports);

#endif
