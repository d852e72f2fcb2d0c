/* Logs of events, and who reads them: event_log.h, event_reader.h. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "events/event_log.h"
#include "events/event_reader.h"
#include "host/claim.h"
#include "tests/unit/claims.h"

static void begin(void)
{
	claims_begin("alive");
}

struct told {
	struct event_reader *reader;
	char text[65536]; /* "name:event " each */
	unsigned n, stop_after;
};

static int take(void *opaque, const json_t *event, struct err *err)
{
	struct told *told = opaque;
	size_t len = strlen(told->text);

	(void)err;
	snprintf(told->text + len, sizeof(told->text) - len, "%s:%s ",
		 json_string_value(json_object_get(event, "name")),
		 json_string_value(json_object_get(event, "event")));
	if (++told->n == told->stop_after)
		event_reader_stop(told->reader);
	return 0;
}

static char *path_of(const char *name, const char *file)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/torpor/%s", getenv("XDG_STATE_HOME"), name);
	mkdir(path, 0700);
	snprintf(path + strlen(path), sizeof(path) - strlen(path), "/%s", file);
	return path;
}

static void append(const char *name, const char *text, size_t len)
{
	FILE *file = fopen(path_of(name, EVENT_LOG_FILE), "a");

	cr_assert(eq(sz, fwrite(text, 1, len, file), len));
	fclose(file);
}

/* All that is in the logs. */
static void told_is(uint64_t since, const char *want)
{
	struct told told = {.text = ""};
	const struct event_params params = {
		.since = since, .until = clock_realtime_ns(), .fn = take, .opaque = &told};

	cr_assert(eq(int, event_reader_open(&told.reader, &params, NULL), 0));
	cr_assert(eq(int, event_reader_run(told.reader, NULL), 0));
	event_reader_close(told.reader);
	cr_assert(eq(str, told.text, (char *)want));
}

#define APPEND(name, text) append(name, text, sizeof(text) - 1)

Test(events, lines_that_are_none_are_skipped, .init = begin, .fini = claims_end)
{
	char *wide = malloc(3 * EVENT_LINE_MAX);

	memset(wide, 'x', 3 * EVENT_LINE_MAX);
	wide[3 * EVENT_LINE_MAX - 1] = '\n';
	APPEND("a", "\n{}\nnothing\n[1]\n{\"time\":1}\n{\"time\":-1,\"event\":\"x\"}\n");
	APPEND("a", "{\"time\":1,\"event\":2}\n{\"time\":\"1\",\"event\":\"x\"}\n\0\n\xff\n");
	APPEND("a", "{\"time\":3,\"event\":\"three\",\"name\":\"other\"}\n");
	append("a", wide, 3 * EVENT_LINE_MAX);
	APPEND("a", "{\"time\":5,\"event\":\"five\"}\n{\"time\":6,\"event\":\"half");
	APPEND("b", "{\"time\":4,\"event\":\"four\"}\n{\"time\":2,\"event\":\"two\"}\n");
	told_is(0, "b:two a:three b:four a:five ");
	told_is(4, "b:four a:five ");
	free(wide);
}

Test(events, the_log_is_bounded_and_the_old_one_is_read_first, .init = begin, .fini = claims_end)
{
	struct log_file log = LOG_FILE_CLOSED;
	struct told told = {.text = ""};
	const struct event_params params = {
		.since = 0, .until = UINT64_MAX, .fn = take, .opaque = &told};
	struct stat st;

	path_of("a", "");
	cr_assert(eq(int, event_log_open(&log, "a", NULL), 0));
	event_log_write(&log, "first", NULL);
	while (stat(path_of("a", EVENT_LOG_OLD_FILE), &st) < 0)
		event_log_write(&log, "more", json_pack("{s:s}", "text", "........"));
	cr_assert(le(long, (long)st.st_size, (long)EVENT_LOG_MAX));
	event_log_write(&log, "last", NULL);
	event_log_close(&log);
	told.stop_after = 2;
	cr_assert(eq(int, event_reader_open(&told.reader, &params, NULL), 0));
	cr_assert(eq(int, event_reader_run(told.reader, NULL), 0));
	event_reader_close(told.reader);
	cr_assert(eq(int, strncmp(told.text, "a:first a:more ", 15), 0));
	cr_assert(ne(ptr, strstr(told.text, "a:last "), NULL));
}

Test(events, details_that_are_too_long_are_left_out, .init = begin, .fini = claims_end)
{
	struct log_file log = LOG_FILE_CLOSED;
	char text[EVENT_LINE_MAX + 1];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	path_of("a", "");
	cr_assert(eq(int, event_log_open(&log, "a", NULL), 0));
	event_log_write(&log, "long", json_pack("{s:s}", "text", text));
	event_log_write(&log, "none", json_pack("{s:s}", "text", "\xff"));
	event_log_write(&log, "own", json_pack("{s:s,s:i}", "event", "stolen", "time", 5));
	event_log_close(&log);
	event_log_write(&log, "closed", json_pack("{s:s}", "text", "y"));
	told_is(0, "a:long a:none a:own ");
}

static void rewrite(const char *name, const char *text)
{
	FILE *file = fopen(path_of(name, EVENT_LOG_FILE), "w");

	cr_assert(ne(ptr, file, NULL));
	fputs(text, file);
	fclose(file);
}

Test(events, a_log_that_was_cut_is_read_from_its_start, .init = begin, .fini = claims_end)
{
	struct told told = {.text = "", .stop_after = 2};
	const struct event_params params = {
		.since = 0, .until = UINT64_MAX, .fn = take, .opaque = &told};

	rewrite("a", "{\"time\":1,\"event\":\"long-before\",\"more\":\"xxxxxxxxxxxxxxxx\"}\n");
	cr_assert(eq(int, event_reader_open(&told.reader, &params, NULL), 0));
	rewrite("a", "{\"time\":2,\"event\":\"new\"}\n");
	cr_assert(eq(int, event_reader_run(told.reader, NULL), 0));
	event_reader_close(told.reader);
	cr_assert(eq(str, told.text, (char *)"a:long-before a:new "));
}

/* More than the kernel queues, while nobody reads. */
static void fill_queue(void)
{
	FILE *file = fopen("/proc/sys/fs/inotify/max_queued_events", "r");
	unsigned most = 0;
	char *path;

	if (file == NULL || fscanf(file, "%u", &most) != 1 || most > 100000)
		cr_skip_test("SKIP: the queue of inotify is unknown or too long");
	fclose(file);
	for (unsigned i = 0; i <= most; i++) {
		path = path_of("full", i % 2 != 0 ? "a" : "b");
		close(open(path, O_WRONLY | O_CREAT, 0600));
		unlink(path);
	}
}

Test(events, what_was_replaced_while_nobody_read_is_found, .init = begin, .fini = claims_end)
{
	struct told told = {.text = "", .stop_after = 3};
	const struct event_params params = {
		.since = 0, .until = UINT64_MAX, .fn = take, .opaque = &told};

	rewrite("full", "{\"time\":1,\"event\":\"there\"}\n");
	rewrite("a", "{\"time\":2,\"event\":\"old\"}\n");
	cr_assert(eq(int, event_reader_open(&told.reader, &params, NULL), 0));
	fill_queue();
	unlink(path_of("a", EVENT_LOG_FILE));
	cr_assert(eq(int, rmdir(path_of("a", "")), 0));
	rewrite("a", "{\"time\":3,\"event\":\"other\"}\n");
	cr_assert(eq(int, event_reader_run(told.reader, NULL), 0));
	event_reader_close(told.reader);
	cr_assert(eq(str, told.text, (char *)"full:there a:old a:other "));
}

Test(events, too_many_open_files_are_an_error, .init = begin, .fini = claims_end)
{
	const struct rlimit few = {24, 24};
	struct told told = {.text = ""};
	const struct event_params params = {
		.since = 0, .until = clock_realtime_ns(), .fn = take, .opaque = &told};
	struct err err = {0};
	char name[16];

	for (unsigned i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "m%u", i);
		rewrite(name, "{\"time\":1,\"event\":\"x\"}\n");
	}
	cr_assert(eq(int, setrlimit(RLIMIT_NOFILE, &few), 0));
	cr_assert(eq(int, event_reader_open(&told.reader, &params, NULL), 0));
	cr_assert(eq(int, event_reader_run(told.reader, &err), -EMFILE));
	cr_assert(ne(ptr, strstr(err.text, strerror(EMFILE)), NULL));
	event_reader_close(told.reader);
}
