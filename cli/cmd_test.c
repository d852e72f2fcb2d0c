/* torpor test: transcripts against a machine that was saved. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/parallel.h"
#include "cli/command.h"
#include "cli/stop_signals.h"
#include "cli/test_machine.h"
#include "cli/test_reports.h"
#include "cli/test_review.h"
#include "golden/guest_port.h"
#include "host/parse.h"

#define TEST_FAILED_STATUS 1 /* exit status: what a test printed differs */
#define TEST_BROKEN_STATUS 125
#define FAILED_FOLDER	   "failed"
#define MOST_ROUNDS	   100000u

enum {
	OPTION_FROM = OPTION_LONG_ONLY + 1,
	OPTION_UPDATE,
	OPTION_REPEAT,
	OPTION_SHARD,
	OPTION_CLOCK,
	OPTION_FAILED,
	OPTION_NO_SAVE,
	OPTION_CHECK_FS,
};

static const struct option_spec options[] = {
	{OPTION_FROM, "from", "FILE", "the golden of all tests, in place of what their heads name"},
	{'p', "publish", "GUEST[/udp]",
	 "publish a port of the guest for all tests; its number here is $TORPOR_PORT_GUEST; "
	 "repeatable"},
	{'j', "jobs", "N", "so many tests at once (default 1), each with a machine; 0: one a core"},
	{OPTION_REPEAT, "repeat", "N",
	 "run each test N times; one that does not always pass is flaky"},
	{OPTION_SHARD, "shard", "I/N", "only part I of N of the tests"},
	{OPTION_CLOCK, "clock", "TIME",
	 "the guest's time as each test begins: 2026-01-31T12:00:00Z, or @SECONDS since 1970"},
	{OPTION_FAILED, "failed", "DIR",
	 "folder for the machines of tests that fail (default " FAILED_FOLDER ")"},
	{OPTION_NO_SAVE, "no-save", NULL, "do not save the machines of tests that fail"},
	{OPTION_CHECK_FS, "check-fs", "DIR",
	 "compare the guest's files behind each test with its listing in DIR; --update writes it"},
	{OPTION_UPDATE, "update", NULL, "accept what the tests print: rewrite them"},
	REPORT_OPTIONS,
	{0},
};

struct test_args {
	struct test_fleet_params fleet;
	unsigned rounds, shard, shards;
	const char *failed;
	const char *check_fs; /* folder; NULL: not given */
	bool no_save, update;
	struct report_args reports;
};

static int parse_count(const char *option, const char *value, unsigned least, unsigned most,
		       unsigned *n, struct err *err)
{
	uint64_t number;
	int ret = parse_number(value, option, least, most, &number, err);

	if (ret == 0)
		*n = (unsigned)number;
	return ret;
}

static int parse_shard(const char *value, struct test_args *args, struct err *err)
{
	int end = 0;

	if (sscanf(value, "%9u/%9u%n", &args->shard, &args->shards, &end) < 2 ||
	    value[end] != '\0' || args->shard < 1 || args->shard > args->shards)
		return err_set(err, ERR_USAGE, "--shard %s: not I/N with I from 1 to N", value);
	return 0;
}

static int parse_clock(const char *value, struct test_args *args, struct err *err)
{
	struct tm tm = {0};
	const char *end = value;
	long long seconds;
	int len = 0;

	if (sscanf(value, "@%lld%n", &seconds, &len) == 1)
		end = value + len;
	else if ((end = strptime(value, "%Y-%m-%dT%H:%M:%SZ", &tm)) != NULL)
		seconds = timegm(&tm);
	/* What nanoseconds of 63 bits hold. */
	if (end == NULL || *end != '\0' || seconds < 0 || seconds > 9000000000)
		return err_set(err, ERR_USAGE,
			       "--clock %s: not a time like 2026-01-31T12:00:00Z, or @SECONDS "
			       "since 1970",
			       value);
	args->fleet.fixed_clock = true;
	args->fleet.clock_ns = (int64_t)seconds * (int64_t)NS_PER_SECOND;
	return 0;
}

static int parse_jobs(const char *value, struct test_args *args, struct err *err)
{
	int ret = parse_count("--jobs", value, 0, RUNNER_MAX_WORKERS, &args->fleet.workers, err);

	if (ret == 0 && args->fleet.workers == 0)
		args->fleet.workers = usable_cores();
	return ret;
}

static int cmd_test_option(struct test_args *args, int id, const char *value, struct err *err)
{
	int ret;

	switch (id) {
	case OPTION_FROM:
		args->fleet.from = value;
		return 0;
	case 'p':
		ret = guest_port_check("--publish", value, err);
		if (ret < 0)
			return ret;
		if (args->fleet.npublish == TEST_PUBLISH_MAX)
			return err_set(err, ERR_USAGE, "--publish is given more than %u times",
				       TEST_PUBLISH_MAX);
		args->fleet.publish[args->fleet.npublish++] = value;
		return 0;
	case 'j':
		return parse_jobs(value, args, err);
	case OPTION_REPEAT:
		return parse_count("--repeat", value, 1, MOST_ROUNDS, &args->rounds, err);
	case OPTION_SHARD:
		return parse_shard(value, args, err);
	case OPTION_CLOCK:
		return parse_clock(value, args, err);
	case OPTION_FAILED:
		args->failed = value;
		return 0;
	case OPTION_CHECK_FS:
		args->check_fs = value;
		return 0;
	case OPTION_NO_SAVE:
		args->no_save = true;
		return 0;
	case OPTION_UPDATE:
		args->update = true;
		return test_update_possible(err);
	default:
		ret = report_args_take(&args->reports, id, value, err);
		return ret == 0 ? option_unhandled(id, err) : ret;
	}
}

/* ---- all of it ---- */

static int exit_status(const struct test_report *report)
{
	if (report->interrupted || test_report_count(report, TEST_BROKEN) > 0)
		return TEST_BROKEN_STATUS;
	return test_report_count(report, TEST_FAILED) > 0 ? TEST_FAILED_STATUS : 0;
}

static bool is_review(const struct test_args *args)
{
	return args->reports.form == REPORT_DIFF || args->reports.form == REPORT_REVIEW;
}

/* With --diff and --interactive what differs is likely to be accepted. */
static const char *failed_folder(const struct test_args *args)
{
	if (args->no_save || (is_review(args) && args->failed == NULL))
		return NULL;
	return args->failed != NULL ? args->failed : FAILED_FOLDER;
}

static int run_tests(struct test_args *args, const struct test_list *tests,
		     const struct stop_signals *stop, struct test_reports *reports, struct err *err)
{
	cleanup_test_report struct test_report report = {0};
	struct runner_params params = {
		.tests = tests,
		.workers = args->fleet.workers,
		.rounds = args->rounds,
		.shard = args->shard,
		.shards = args->shards,
		.update = args->update,
		.failed = failed_folder(args),
		.check_fs = args->check_fs,
		.stop_fd = stop->fd,
		.result = test_reports_result,
		.progress = test_reports_progress,
		.retired = test_reports_retired,
		.opaque = reports,
	};
	struct test_machines machines;
	struct test_fleet fleet;
	bool good = true;
	int ret;

	args->fleet.changes = report_args_want_changes(&args->reports);
	args->fleet.stop_fd = stop->fd;
	ret = test_fleet_open(&fleet, &args->fleet, err);
	if (ret < 0)
		return ret;
	machines = test_fleet_machines(&fleet);
	params.machines = &machines;
	test_reports_begin(reports, tests->n * args->rounds);
	ret = runner_run(&params, &report, err);
	test_fleet_close(&fleet);
	if (ret < 0)
		return ret;
	test_reports_clear(reports);
	if (args->reports.form == REPORT_REVIEW && !report.interrupted)
		good = test_review(&report, stop->fd);
	good &= test_reports_end(reports, &report);
	return good ? exit_status(&report) : TEST_BROKEN_STATUS;
}

static int find_and_run(struct options *opts, struct test_args *args, struct err *err)
{
	cleanup_test_list struct test_list tests = {0};
	static struct stop_signals stop; /* its thread outlives us */
	struct test_reports reports;
	const char *path;
	int ret;

	while ((path = options_operand(opts)) != NULL) {
		ret = test_list_add(&tests, path, err);
		if (ret < 0)
			return ret;
	}
	if (tests.n == 0)
		return options_missing(opts, "PATH of a test", err);
	if (args->update && is_review(args))
		return err_set(err, ERR_USAGE,
			       "--update accepts all that --diff and --interactive would show");
	if (args->reports.form == REPORT_REVIEW && test_review_possible(err) < 0)
		return -EINVAL;
	ret = test_list_drop_repeats(&tests, err);
	if (ret < 0)
		return ret;
	test_list_keep_shard(&tests, args->shard, args->shards);
	ret = stop_signals_watch(&stop, err);
	if (ret < 0)
		return ret;
	ret = test_reports_open(&reports, &args->reports, err);
	if (ret < 0)
		return ret;
	ret = run_tests(args, &tests, &stop, &reports, err);
	test_reports_close(&reports);
	stop_signals_die(&stop, "test", NULL);
	return ret;
}

static int cmd_test_run(struct options *opts, struct err *err)
{
	struct test_args args = {
		.fleet = {.workers = 1},
		.rounds = 1,
		.shard = 1,
		.shards = 1,
	};
	int id;

	while ((id = options_next(opts, err)) != 0) {
		int ret = id < 0 ? id : cmd_test_option(&args, id, opts->value, err);

		if (ret < 0)
			return ret;
	}
	return find_and_run(opts, &args, err);
}

const struct command cmd_test = {
	.name = "test",
	.args = "PATH...",
	.summary = "run transcripts, each against a fresh machine from a golden",
	.detail =
		"A test is a file NAME.t, or a folder with such files. Lines that begin with two "
		"spaces are commands\n"
		"and what they print; all else is prose:\n"
		"\n"
		"golden: web.torpor   what it starts from, in its first lines\n"
		"timeout: 60          seconds for each command\n"
		"redact: time pid     what differs from run to run; or NAME=REGEX\n"
		"publish: 80 53/udp   ports of the guest, as --publish\n"
		"  $ CMD              in the guest\n"
		"  % CMD              on the host\n"
		"  OUTPUT             a line may end in (re), (glob), (esc), (no-eol)\n"
		"  [STATUS]           unless it is 0\n"
		"\n"
		"The exit status is 0, 1 when a test has failed, or 125 when one could not be run.",
	.options = options,
	.run = cmd_test_run,
};
