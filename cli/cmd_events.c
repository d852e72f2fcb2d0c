/* torpor events: what happens to machines, a line for each event. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "cli/command.h"
#include "cli/json_out.h"
#include "cli/print_line.h"
#include "events/event_reader.h"
#include "host/parse.h"

#define DETAILS_MAX 1024u

enum {
	OPTION_SINCE = OPTION_LONG_ONLY + 1,
	OPTION_UNTIL,
};

static const struct option_spec options[] = {
	{OPTION_SINCE, "since", "TIME", "events of the past, from then on, come first"},
	{OPTION_UNTIL, "until", "TIME", "end then; 0: print the past and end"},
	OPTION_JSON_SPEC,
	{0},
};

struct events_args {
	struct event_params params;
	struct event_reader *reader;
	struct loop_watch output; /* closed: nobody reads any more */
	bool json;
};

/* A range that nothing can be in is a mistake: that of `--since 1h --until 2h`. */
static int check_range(const struct event_params *params, uint64_t now, struct err *err)
{
	if (params->until < params->since && params->since != UINT64_MAX)
		return err_set(err, ERR_USAGE,
			       "--until is before --since: 2h is a time before that of 1h");
	if (params->until < now && params->since == UINT64_MAX)
		return err_set(err, ERR_USAGE,
			       "--until is in the past, of which only --since shows something");
	return 0;
}

static int cmd_events_parse(struct options *opts, struct events_args *args, struct err *err)
{
	const uint64_t now = clock_realtime_ns();
	int id, ret = 0;

	args->params.since = args->params.until = UINT64_MAX;
	while (ret == 0 && (id = options_next(opts, err)) != 0) {
		if (id < 0)
			return id;
		if (id == OPTION_JSON)
			args->json = true;
		else if (id == OPTION_SINCE)
			ret = parse_time_ago(opts->value, "--since", now, &args->params.since, err);
		else
			ret = parse_time_ago(opts->value, "--until", now, &args->params.until, err);
	}
	if (ret == 0)
		ret = check_range(&args->params, now, err);
	if (ret < 0)
		return ret;
	args->params.name = opts->argv + opts->operand;
	args->params.nnames = (size_t)(opts->argc - opts->operand);
	for (size_t i = 0; i < args->params.nnames; i++) {
		ret = parse_name(args->params.name[i], err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* " key=value" for what belongs to the event. */
static void describe_details(const json_t *event, char *out, size_t size)
{
	const char *key;
	json_t *value;
	size_t len = 0;

	out[0] = '\0';
	json_object_foreach((json_t *)event, key, value)
	{
		if (strcmp(key, "time") == 0 || strcmp(key, "event") == 0 ||
		    strcmp(key, "name") == 0 || json_is_false(value))
			continue;
		if (json_is_string(value))
			len += (size_t)snprintf(out + len, size - len, " %s=%s", key,
						json_string_value(value));
		else if (json_is_integer(value))
			len += (size_t)snprintf(out + len, size - len, " %s=%lld", key,
						(long long)json_integer_value(value));
		else if (json_is_true(value))
			len += (size_t)snprintf(out + len, size - len, " %s", key);
		if (len >= size)
			return;
	}
}

static void print_event(const json_t *event)
{
	const uint64_t ns = (uint64_t)json_integer_value(json_object_get(event, "time"));
	const time_t seconds = (time_t)(ns / NS_PER_SECOND);
	char when[32] = "", details[DETAILS_MAX];
	struct tm utc;

	if (gmtime_r(&seconds, &utc) != NULL)
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &utc);
	describe_details(event, details, sizeof(details));
	print_line(stdout, "%s.%03uZ %-20s %s%s", when, (unsigned)(ns / NS_PER_MS % 1000),
		   json_string_value(json_object_get(event, "name")),
		   json_string_value(json_object_get(event, "event")), details);
}

static int take_event(void *opaque, const json_t *event, struct err *err)
{
	const struct events_args *args = opaque;
	int ret;

	if (args->json) {
		json_dumpf(event, stdout, JSON_COMPACT | json_out_escapes(stdout));
		putchar('\n');
	} else {
		print_event(event);
	}
	ret = flush_lines(err);
	if (ret > 0)
		event_reader_stop(args->reader);
	return ret < 0 ? ret : 0;
}

static void on_output_closed(struct loop_watch *watch, uint32_t events)
{
	(void)events;
	event_reader_stop(container_of(watch, struct events_args, output)->reader);
}

static int cmd_events_run(struct options *opts, struct err *err)
{
	struct events_args args = {.params = {.fn = take_event, .opaque = &args}};
	int ret = cmd_events_parse(opts, &args, err);

	if (ret < 0)
		return ret;
	ret = event_reader_open(&args.reader, &args.params, err);
	if (ret < 0)
		return ret;
	/* A plain file is never closed, and cannot be watched. */
	(void)loop_add(event_reader_loop(args.reader), &args.output, STDOUT_FILENO, 0,
		       on_output_closed, NULL);
	ret = event_reader_run(args.reader, err);
	event_reader_close(args.reader);
	return ret;
}

const struct command cmd_events = {
	.name = "events",
	.args = "[NAME...]",
	.summary = "print what happens to machines, a line for each event",
	.detail =
		"Of all machines, new ones too, until ^C. Events: started, resumed, paused, "
		"unpaused, saving, saved, save-failed, reset, cloned, clone-failed, moving, "
		"move-failed, waiting, waited, arrived, arrival-failed, halted, broken, exited, "
		"and dead, when a process was killed.\n"
		"\n"
		"A TIME is so long ago, as 90, 15m, 2h or 1d, or @SECONDS since 1970. Each machine "
		"keeps its last 128 to 256 KiB of events until torpor rm.",
	.options = options,
	.run = cmd_events_run,
};
