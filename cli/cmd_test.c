/* torpor test: transcripts against a machine that was saved. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/tempfile.h"
#include "cli/command.h"
#include "cli/print_line.h"
#include "cli/remove_machine.h"
#include "cli/target.h"
#include "cli/test_machine.h"
#include "format/archive.h"
#include "golden/test_run.h"

#define TEST_SUFFIX ".t"
#define TEST_FAILED 1 /* exit status: what a test printed differs */
#define DIGEST_MARK "@sha256:"

enum {
	OPTION_FROM = OPTION_LONG_ONLY + 1,
	OPTION_UPDATE,
	OPTION_TAP,
};

static const struct option_spec options[] = {
	{OPTION_FROM, "from", "FILE", "the golden of all tests, in place of what their heads name"},
	{'p', "publish", "GUEST[/udp]",
	 "publish a port of the guest; its number here is $TORPOR_PORT_GUEST; repeatable"},
	{OPTION_UPDATE, "update", NULL, "accept what the tests print: rewrite them"},
	{OPTION_TAP, "tap", NULL, "print TAP"},
	{0},
};

struct test_args {
	const char *from; /* NULL: the heads say it */
	const char *publish[TEST_PUBLISH_MAX];
	unsigned npublish;
	bool update, tap;
};

/* The tests: paths of files, in order. */
struct tests {
	char **path; /* owned, as its elements */
	size_t n;
	size_t done, failed, broken, updated;
	/* Taken while a machine is started or ended, and for good by who ends all. */
	pthread_mutex_t machine_lock;
	struct test_host host;
};

static int cmd_test_option(struct test_args *args, int id, const char *value, struct err *err)
{
	switch (id) {
	case OPTION_FROM:
		args->from = value;
		return 0;
	case 'p':
		if (args->npublish == TEST_PUBLISH_MAX)
			return err_set(err, ERR_USAGE, "--publish is given more than %u times",
				       TEST_PUBLISH_MAX);
		args->publish[args->npublish++] = value;
		return 0;
	case OPTION_UPDATE:
		args->update = true;
		return getenv("CI") == NULL ? 0
					    : err_set(err, ERR_USAGE,
						      "--update with CI set: nobody would look at "
						      "what it accepts");
	case OPTION_TAP:
		args->tap = true;
		return 0;
	default:
		return option_unhandled(id, err);
	}
}

static int add_path(struct tests *tests, char *path, struct err *err)
{
	char **grown = path != NULL ? array_grow(tests->path, tests->n, sizeof(*grown)) : NULL;

	if (grown == NULL) {
		free(path);
		return err_sys(err, ENOMEM, "list the tests");
	}
	tests->path = grown;
	grown[tests->n++] = path;
	return 0;
}

static int is_test(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name), suffix = strlen(TEST_SUFFIX);

	return entry->d_name[0] != '.' &&
	       (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN ||
		(len > suffix && strcmp(entry->d_name + len - suffix, TEST_SUFFIX) == 0));
}

/* A file as it is; of a folder, the tests in it and below, by name. What is `below` and cannot be
 * looked at is a test that cannot be run. */
static int find_tests(struct tests *tests, const char *path, bool below, struct err *err)
{
	struct dirent **entry;
	struct stat st = {0};
	int n, ret = 0;

	if (stat(path, &st) < 0 && !below)
		return err_sys(err, errno, "%s", path);
	if (!S_ISDIR(st.st_mode))
		return add_path(tests, strdup(path), err);
	n = scandir(path, &entry, is_test, alphasort);
	if (n < 0)
		return err_sys(err, errno, "%s", path);
	for (int i = 0; i < n; i++) {
		cleanup_free char *inner = NULL;

		if (ret == 0 && asprintf(&inner, "%s/%s", path, entry[i]->d_name) < 0)
			ret = err_sys(err, ENOMEM, "list the tests");
		if (ret == 0)
			ret = find_tests(tests, inner, true, err);
		free(entry[i]);
	}
	free(entry);
	return ret;
}

static int read_transcript(struct transcript *t, const char *path, struct stat *st, struct err *err)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	cleanup_free char *text = NULL;
	int ret;

	if (fd < 0 || fstat(fd, st) < 0)
		return err_sys(err, errno, "open");
	if (!S_ISREG(st->st_mode) || st->st_size > TRANSCRIPT_MAX)
		return err_set(err, ERR_USAGE, "not a file, or longer than %u MiB",
			       TRANSCRIPT_MAX >> 20);
	text = malloc((size_t)st->st_size + 1);
	if (text == NULL)
		return err_sys(err, ENOMEM, "read");
	ret = io_pread(fd, text, (uint64_t)st->st_size, 0);
	if (ret < 0)
		return err_sys(err, -ret, "read");
	return transcript_parse(t, take_ptr(text), (size_t)st->st_size, err);
}

/* The file of `golden: FILE[@sha256:DIGEST]`, relative to the test's folder, or a name of the
 * store. */
static int find_golden(const struct test_args *args, const char *test, const struct transcript *t,
		       struct path *golden, struct err *err)
{
	char name[sizeof(t->golden)], digest[DIGEST_TEXT_SIZE], *wanted;
	const char *slash = strrchr(test, '/');
	struct target target;
	int ret, len;

	snprintf(name, sizeof(name), "%s", args->from != NULL ? args->from : t->golden);
	if (name[0] == '\0')
		return err_set(err, ERR_USAGE,
			       "it names no golden: begin it with `golden: FILE`, or use --from");
	wanted = strstr(name, DIGEST_MARK);
	if (wanted != NULL)
		*wanted++ = '\0';
	ret = target_find_file(&target, name, err);
	if (ret < 0)
		return ret;
	if (target.kind == TARGET_STORED || args->from != NULL || name[0] == '/' || slash == NULL)
		len = snprintf(golden->text, sizeof(golden->text), "%s", target.file);
	else
		len = snprintf(golden->text, sizeof(golden->text), "%.*s/%s", (int)(slash - test),
			       test, name);
	if (len >= (int)sizeof(golden->text))
		return err_sys(err, ENAMETOOLONG, "%s", name);
	ret = archive_identify(golden->text, digest, err);
	if (ret == 0 && wanted != NULL && strcmp(digest, wanted) != 0)
		return err_set(err, ERR_INTEGRITY, "%s is %s, and the test is for %s", golden->text,
			       digest, wanted);
	return ret;
}

static int rewrite(const char *path, const struct stat *st, const struct edits *edits,
		   struct err *err)
{
	cleanup_buf struct buf text = {0};
	struct tempfile file;
	struct stat written;
	int ret;

	edits_text(edits, &text);
	if (buf_failed(&text))
		return err_sys(err, ENOMEM, "rewrite");
	ret = tempfile_open(&file, path, err);
	if (ret < 0)
		return ret;
	ret = tempfile_write(&file, text.data, text.len, 0, err);
	if (ret == 0 && fchmod(file.fd, st->st_mode & 07777) < 0)
		ret = err_sys(err, errno, "chmod");
	if (ret == 0)
		ret = tempfile_publish(&file, &written, err);
	tempfile_close(&file);
	return ret;
}

/* As lines of its own, which TAP takes for comments. */
static void print_diff(const struct test_args *args, const struct edits *edits, const char *path)
{
	cleanup_buf struct buf diff = {0};
	char *rest, *line;

	edits_diff(edits, path, path, &diff);
	buf_add(&diff, "", 1);
	if (buf_failed(&diff))
		return;
	rest = (char *)diff.data;
	while ((line = strsep(&rest, "\n")) != NULL) {
		if (rest != NULL)
			print_line(stdout, "%s%s", args->tap ? "# " : "", line);
	}
}

/* Run one test. Returns whether it passes (0), fails (1), or why it could not be run. */
static int run_transcript(const struct test_args *args, const char *path, struct tests *tests,
			  struct edits *edits, struct transcript *t, struct err *err)
{
	struct test_machine machine;
	struct test_guest guest;
	struct path golden;
	struct stat st;
	int ret = read_transcript(t, path, &st, err);

	if (ret < 0)
		return ret;
	ret = find_golden(args, path, t, &golden, err);
	if (ret < 0)
		return ret;
	pthread_mutex_lock(&tests->machine_lock);
	ret = test_machine_start(&machine, golden.text, args->publish, args->npublish, err);
	pthread_mutex_unlock(&tests->machine_lock);
	if (ret < 0)
		return ret;
	guest = test_machine_guest(&machine);
	tests->host.env = machine.env;
	ret = test_run(t, &guest, &tests->host, edits, err);
	/* Waits for ever when all is being ended. */
	pthread_mutex_lock(&tests->machine_lock);
	test_machine_end(&machine);
	pthread_mutex_unlock(&tests->machine_lock);
	if (ret < 0 || !edits_differ(edits))
		return ret;
	if (!args->update)
		return 1;
	tests->updated++;
	return rewrite(path, &st, edits, err);
}

static void run_one(const struct test_args *args, const char *path, struct tests *tests)
{
	cleanup_transcript struct transcript t = {0};
	cleanup_edits struct edits edits = {0};
	uint64_t start = clock_monotonic_ns();
	struct err err = {0};
	int ret = run_transcript(args, path, tests, &edits, &t, &err);
	const char *ended = ret == 0 ? "passed" : "failed";
	double seconds = (double)(clock_monotonic_ns() - start) / NS_PER_SECOND;

	tests->done++;
	if (args->tap)
		print_line(stdout, "%s %zu - %s # %.3f s", ret == 0 ? "ok" : "not ok", tests->done,
			   path, seconds);
	else
		print_line(stdout, "%s: %s (%.3f s)", path, ret < 0 ? "not run" : ended, seconds);
	if (ret > 0)
		tests->failed++;
	if (edits.n > 0 && edits_differ(&edits) && !args->update)
		print_diff(args, &edits, path);
	if (ret < 0) {
		tests->broken++;
		print_line(args->tap ? stdout : stderr, "%s%s: %s",
			   args->tap ? "# " : "torpor: test: ", path, err.text);
	}
	fflush(stdout);
}

static int run_all(const struct test_args *args, struct tests *tests)
{
	if (args->tap)
		printf("TAP version 13\n1..%zu\n", tests->n);
	for (size_t i = 0; i < tests->n; i++)
		run_one(args, tests->path[i], tests);
	if (!args->tap)
		printf("%zu passed, %zu failed, %zu not run%s\n",
		       tests->n - tests->failed - tests->broken, tests->failed, tests->broken,
		       tests->updated > 0 ? "; some were rewritten" : "");
	if (tests->broken > 0)
		return 125;
	return tests->failed > 0 ? TEST_FAILED : 0;
}

static void ending_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGQUIT);
	sigaddset(set, SIGTERM);
}

/* A thread: who ends the tests ends their machine, and what runs on this host. */
static void *await_signal(void *arg)
{
	struct tests *tests = arg;
	char name[64];
	sigset_t set;
	pid_t group;
	int number;

	ending_signals(&set);
	if (sigwait(&set, &number) != 0)
		return NULL;
	pthread_mutex_lock(&tests->machine_lock);
	group = tests->host.group;
	if (group > 0)
		kill(-group, SIGKILL);
	test_machine_name(name);
	(void)remove_machine(name, true, NULL);
	(void)signal(number, SIG_DFL);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	kill(getpid(), number);
	return NULL;
}

static int watch_signals(struct tests *tests, struct err *err)
{
	pthread_t thread;
	sigset_t set;
	int ret;

	ending_signals(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	ret = pthread_create(&thread, NULL, await_signal, tests);
	if (ret != 0)
		return err_sys(err, ret, "thread");
	pthread_detach(thread);
	return 0;
}

static int find_and_run(struct options *opts, const struct test_args *args, struct tests *tests,
			struct err *err)
{
	const char *path;
	int ret;

	while ((path = options_operand(opts)) != NULL) {
		size_t before = tests->n;

		ret = find_tests(tests, path, false, err);
		if (ret < 0)
			return ret;
		if (tests->n == before)
			return err_set(err, ERR_NOT_FOUND,
				       "%s: no test NAME" TEST_SUFFIX " is in it", path);
	}
	if (tests->n == 0)
		return options_missing(opts, "PATH of a test", err);
	ret = watch_signals(tests, err);
	return ret < 0 ? ret : run_all(args, tests);
}

static int cmd_test_run(struct options *opts, struct err *err)
{
	struct test_args args = {0};
	struct tests tests = {.machine_lock = PTHREAD_MUTEX_INITIALIZER};
	int id, ret;

	while ((id = options_next(opts, err)) != 0) {
		ret = id < 0 ? id : cmd_test_option(&args, id, opts->value, err);
		if (ret < 0)
			return ret;
	}
	ret = find_and_run(opts, &args, &tests, err);
	for (size_t i = 0; i < tests.n; i++)
		free(tests.path[i]);
	free(tests.path);
	return ret;
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
		"  $ CMD              in the guest\n"
		"  % CMD              on the host\n"
		"  OUTPUT             a line may end in (re), (glob), (esc), (no-eol)\n"
		"  [STATUS]           unless it is 0\n"
		"\n"
		"The exit status is 0, 1 when a test has failed, or 125 when one could not be run.",
	.options = options,
	.run = cmd_test_run,
};
