/* torpor ps: list machines. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/printable.h"
#include "cli/command.h"
#include "cli/each_machine.h"
#include "cli/json_out.h"
#include "host/arriving.h"
#include "host/protocol.h"
#include "instance/record.h"

static const struct option_spec options[] = {
	{'a', "all", NULL, "also machines that have ended"},
	{'q', "quiet", NULL, "names only"},
	OPTION_JSON_SPEC,
	{0},
};

struct ps_args {
	bool all, quiet, json;
};

static int cmd_ps_parse(struct options *opts, struct ps_args *args, struct err *err)
{
	int id;

	while ((id = options_next(opts, err)) > 0) {
		args->all |= id == 'a';
		args->quiet |= id == 'q';
		args->json |= id == OPTION_JSON;
	}
	if (id < 0)
		return id;
	if (args->quiet && args->json)
		return err_set(err, ERR_USAGE, "--quiet and --json exclude each other");
	return options_end(opts, err);
}

static bool is_over(const json_t *status)
{
	const char *state = protocol_text(status, "state");

	return strcmp(state, "exited") == 0 || strcmp(state, "dead") == 0;
}

struct ps_query {
	char **name;
	json_t **status;
};

static void ask_one(size_t index, void *opaque)
{
	const struct ps_query *query = opaque;

	query->status[index] = machine_status(query->name[index]);
}

/* All at once: one that does not answer holds up no other. */
static int ps_collect(const struct machine_names *names, bool all, json_t **list, struct err *err)
{
	cleanup_free json_t **status = calloc(names->count + 1, sizeof(*status));
	struct ps_query query = {.name = names->name, .status = status};

	if (status == NULL)
		return err_sys(err, ENOMEM, "list machines");
	each_at_once(names->count, ask_one, &query);
	*list = json_array();
	for (size_t i = 0; i < names->count; i++) {
		if (all || !is_over(status[i]))
			json_array_append(*list, status[i]);
		json_decref(status[i]);
	}
	return 0;
}

/* "3s", "12m", "5h", "9d": one unit says enough. */
static void print_age(int64_t seconds)
{
	static const struct {
		int64_t seconds;
		char unit;
	} units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
	unsigned i = 0;

	while (i < 3 && seconds < units[i].seconds)
		i++;
	printf("%lld%c", (long long)(seconds / units[i].seconds), units[i].unit);
}

static uint64_t number_of(const json_t *object, const char *key)
{
	const json_int_t value = json_integer_value(json_object_get(object, key));

	return value > 0 ? (uint64_t)value : 0;
}

/* What is missing of one that runs while it is fetched. */
static void print_arriving(const json_t *status)
{
	const json_t *arriving = json_object_get(status, "arriving");
	struct arrivals_status arrivals = {
		.state = ARRIVALS_GOING,
		.since = number_of(arriving, "since"),
		.bytes = number_of(arriving, "bytes"),
		.there = number_of(arriving, "there"),
	};
	const char *state = protocol_text(arriving, "state");
	char text[ARRIVING_TEXT];

	if (arriving == NULL || strcmp(state, "complete") == 0)
		return;
	if (strcmp(state, "waiting") == 0)
		arrivals.state = ARRIVALS_WAITING;
	else if (strcmp(state, "failed") == 0)
		arrivals.state = ARRIVALS_FAILED;
	snprintf(arrivals.host, sizeof(arrivals.host), "%s", protocol_text(arriving, "host"));
	snprintf(arrivals.failed, sizeof(arrivals.failed), "%s", protocol_text(arriving, "failed"));
	arriving_text(&arrivals, text);
	printable_utf8(text);
	printf("  %s", text);
}

/* "3m ago", and the exit status behind it, as torpor wait returns it. */
static void print_end(const json_t *status)
{
	const enum machine_end end = record_end_by_name(protocol_text(status, "end"));

	printf("-        -     -        ");
	print_age(time(NULL) - json_integer_value(json_object_get(status, "when")));
	printf(" ago, exit status %d\n",
	       record_exit_status(end, (int)json_integer_value(json_object_get(status, "status"))));
}

static void ps_print_machine(const json_t *status)
{
	int64_t started = json_integer_value(json_object_get(status, "started"));
	int64_t memory = json_integer_value(json_object_get(status, "memory"));
	const json_t *percent = json_object_get(status, "percent");
	char state[32], size[24];

	if (percent != NULL)
		snprintf(state, sizeof(state), "%s %d%%", protocol_text(status, "state"),
			 (int)json_integer_value(percent));
	else
		snprintf(state, sizeof(state), "%s%s%s", protocol_text(status, "state"),
			 protocol_text(status, "end")[0] != '\0' ? ":" : "",
			 protocol_text(status, "end"));
	printf("%-20s %-16s ", protocol_text(status, "name"), state);
	if (json_object_get(status, "end") != NULL) {
		print_end(status);
		return;
	}
	if (started == 0) {
		const json_t *pid = json_object_get(status, "pid");

		if (pid != NULL)
			printf("%-8lld -     -        -", (long long)json_integer_value(pid));
		else
			printf("-        -     -        -");
		print_arriving(status);
		puts("");
		return;
	}
	snprintf(size, sizeof(size), "%lldM", (long long)(memory >> 20));
	printf("%-8lld %-5lld %-8s ", (long long)json_integer_value(json_object_get(status, "pid")),
	       (long long)json_integer_value(json_object_get(status, "vcpus")), size);
	print_age(time(NULL) - started);
	print_arriving(status);
	puts("");
}

static void print_machines(json_t *list, bool quiet)
{
	json_t *status;
	size_t i;

	if (!quiet)
		printf("%-20s %-16s %-8s %-5s %-8s %s\n", "NAME", "STATE", "PID", "VCPUS", "MEMORY",
		       "UP");
	json_array_foreach(list, i, status)
	{
		if (quiet)
			puts(protocol_text(status, "name"));
		else
			ps_print_machine(status);
	}
}

static int cmd_ps_run(struct options *opts, struct err *err)
{
	struct ps_args args = {0};
	struct machine_names names;
	json_t *list = NULL;
	int ret = cmd_ps_parse(opts, &args, err);

	if (ret < 0)
		return ret;
	ret = machine_names_list(&names, err);
	if (ret < 0)
		return ret;
	ret = ps_collect(&names, args.all, &list, err);
	machine_names_free(&names);
	if (ret < 0)
		return ret;
	if (args.json) {
		json_out(list);
		return 0;
	}
	print_machines(list, args.quiet);
	json_decref(list);
	return 0;
}

const struct command cmd_ps = {
	.name = "ps",
	.args = "",
	.summary = "list running machines",
	.options = options,
	.run = cmd_ps_run,
};
