/* See test_reports.h. */
#include "cli/test_reports.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/printable.h"
#include "cli/json_out.h"
#include "cli/print_line.h"
#include "golden/report_html.h"
#include "golden/report_json.h"
#include "golden/report_junit.h"
#include "golden/report_text.h"

static int take_form(struct report_args *args, enum report_form form, struct err *err)
{
	if (args->form != REPORT_TEXT && args->form != form)
		return err_set(err, ERR_USAGE,
			       "--tap, --json, --diff and --interactive exclude each other");
	args->form = form;
	return 1;
}

int report_args_take(struct report_args *args, int id, const char *value, struct err *err)
{
	switch (id) {
	case OPTION_TAP:
		return take_form(args, REPORT_TAP, err);
	case OPTION_JSON:
		return take_form(args, REPORT_JSON, err);
	case OPTION_DIFF:
		return take_form(args, REPORT_DIFF, err);
	case 'i':
		return take_form(args, REPORT_REVIEW, err);
	case OPTION_JUNIT:
		args->junit = value;
		return 1;
	case OPTION_HTML:
		args->html = value;
		return 1;
	default:
		return 0;
	}
}

bool report_args_want_changes(const struct report_args *args)
{
	return args->html != NULL || args->form == REPORT_JSON;
}

/* Reports are files of their own, and --json is what goes to standard output. */
static int check_files(const struct report_args *args, struct err *err)
{
	const char *const file[] = {args->junit, args->html};

	for (size_t i = 0; i < ARRAY_SIZE(file); i++) {
		if (file[i] != NULL && strcmp(file[i], "-") == 0)
			return err_set(err, ERR_USAGE,
				       "--junit and --html write files, which '-' is not; ./- is "
				       "one of that name");
	}
	if (args->junit != NULL && args->html != NULL && strcmp(args->junit, args->html) == 0)
		return err_set(err, ERR_USAGE, "--junit and --html are to write the same file, %s",
			       args->junit);
	return 0;
}

int test_reports_open(struct test_reports *reports, const struct report_args *args, struct err *err)
{
	int ret = check_files(args, err);

	*reports = (struct test_reports){
		.args = args,
		.progress = isatty(STDERR_FILENO) == 1,
		.junit = {.fd = -1, .folder = -1},
		.html = {.fd = -1, .folder = -1},
	};
	if (ret == 0 && args->junit != NULL)
		ret = tempfile_open(&reports->junit, args->junit, err);
	if (ret == 0 && args->html != NULL)
		ret = tempfile_open(&reports->html, args->html, err);
	if (ret < 0)
		test_reports_close(reports);
	return ret;
}

/* ---- what is printed ---- */

void test_reports_clear(struct test_reports *reports)
{
	if (!reports->line)
		return;
	fflush(stdout);
	fputs("\r\033[K", stderr);
	reports->line = false;
}

void test_reports_progress(void *opaque, const struct runner_state *state)
{
	struct test_reports *reports = opaque;
	char line[72];

	if (!reports->progress)
		return;
	snprintf(line, sizeof(line), "%zu/%zu, %zu failed: %s", state->done, state->tests,
		 state->failed + state->broken, state->path != NULL ? state->path : "");
	printable_utf8(line);
	fflush(stdout);
	fprintf(stderr, "\r\033[K%s", line);
	reports->line = true;
}

/* The lines of a report, which may hold NULs. */
static void print_lines(FILE *out, struct buf *text)
{
	char *at = (char *)text->data, *end = at + text->len;

	while (at < end && !buf_failed(text)) {
		char *newline = memchr(at, '\n', (size_t)(end - at)), *nul;
		size_t len = (size_t)((newline != NULL ? newline : end) - at);

		while ((nul = memchr(at, '\0', len)) != NULL)
			*nul = '\x01';
		print_line(out, "%.*s", (int)len, at);
		at += len + 1;
	}
	fflush(out);
}

/* As it is, for a program that reads it. A test that failed before has been printed. */
static void print_diff(const struct test_report *report, const struct test_result *result)
{
	cleanup_buf struct buf text = {0};

	if (result->outcome != TEST_FAILED)
		return;
	for (const struct test_result *t = report->result; t < result; t++) {
		if (t->outcome == TEST_FAILED && strcmp(t->path, result->path) == 0)
			return;
	}
	if (isatty(STDOUT_FILENO) == 1) {
		buf_add(&text, result->diff, result->diff_len);
		print_lines(stdout, &text);
	} else {
		fwrite(result->diff, 1, result->diff_len, stdout);
		fflush(stdout);
	}
}

void test_reports_begin(const struct test_reports *reports, size_t results)
{
	cleanup_buf struct buf text = {0};

	if (reports->args->form == REPORT_TAP)
		report_tap_begin(results, &text);
	print_lines(stdout, &text);
}

void test_reports_result(void *opaque, const struct runner_state *state,
			 const struct test_result *result)
{
	struct test_reports *reports = opaque;
	const enum report_form form = reports->args->form;
	struct test_result brief = *result;
	cleanup_buf struct buf text = {0};

	brief.diff = NULL;
	test_reports_clear(reports);
	if (form == REPORT_TAP)
		report_tap_result(state->report, result, ++reports->printed, &text);
	else if (form == REPORT_TEXT || form == REPORT_REVIEW)
		report_text_result(state->report, form == REPORT_TEXT ? result : &brief, &text);
	else if (form == REPORT_DIFF)
		print_diff(state->report, result);
	print_lines(stdout, &text);
	if (result->error != NULL && form != REPORT_TAP)
		print_line(stderr, "torpor: test: %s: %s", result->path, result->error);
}

void test_reports_retired(void *opaque, unsigned worker, const struct err *why)
{
	test_reports_clear(opaque);
	print_line(stderr, "torpor: test: there is no room for machine %u, others go on: %s",
		   worker, why->text);
}

static bool print_end(const struct test_reports *reports, const struct test_report *report)
{
	const enum report_form form = reports->args->form;
	cleanup_buf struct buf text = {0};

	if (form == REPORT_JSON) {
		json_t *json = report_json(report);

		if (json == NULL)
			print_line(stderr, "torpor: test: no memory for a report in JSON");
		else
			json_out(json);
		fflush(stdout);
		return json != NULL;
	}
	if (form == REPORT_TAP)
		report_tap_end(report, &text);
	else
		report_text_end(report, &text);
	print_lines(form == REPORT_DIFF ? stderr : stdout, &text);
	return !buf_failed(&text);
}

/* ---- files ---- */

static bool write_file(struct tempfile *file, const struct buf *text)
{
	struct err err = {0};
	struct stat st;
	int ret;

	if (buf_failed(text))
		ret = tempfile_error(file, ENOMEM, &err);
	else
		ret = tempfile_write(file, text->data, text->len, 0, &err);
	if (ret == 0)
		ret = tempfile_publish(file, &st, &err);
	if (ret < 0)
		print_line(stderr, "torpor: test: %s", err.text);
	return ret == 0;
}

static bool write_report(struct tempfile *file, const struct test_report *report,
			 void (*write)(const struct test_report *report, struct buf *out))
{
	cleanup_buf struct buf text = {0};

	write(report, &text);
	return write_file(file, &text);
}

bool test_reports_end(struct test_reports *reports, const struct test_report *report)
{
	bool good;

	test_reports_clear(reports);
	good = print_end(reports, report);
	if (reports->args->junit != NULL)
		good &= write_report(&reports->junit, report, report_junit);
	if (reports->args->html != NULL)
		good &= write_report(&reports->html, report, report_html);
	return good;
}

void test_reports_close(struct test_reports *reports)
{
	if (reports->args->junit != NULL)
		tempfile_close(&reports->junit);
	if (reports->args->html != NULL)
		tempfile_close(&reports->html);
}
