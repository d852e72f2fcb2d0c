/* torpor ps: list machines. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/printable.h"
#include "cli/command.h"
#include "cli/each_machine.h"
#include "cli/json_out.h"
#include "cli/print_line.h"
#include "cli/screen.h"
#include "host/arriving.h"
#include "host/parse.h"
#include "host/protocol.h"
#include "instance/record.h"

#define OPTION_INTERVAL	 (OPTION_LONG_ONLY + 1)
#define DEFAULT_INTERVAL 2u

/* As the table's head. */
#define CELLS	  10u
#define CELL_SIZE 512u

static const struct option_spec options[] = {
	{'a', "all", NULL, "also machines that have ended"},
	{'q', "quiet", NULL, "names only"},
	{'w', "watch", NULL, "again and again, until ^C; on a terminal in the same place"},
	{OPTION_INTERVAL, "interval", "SECONDS", "of --watch; default 2"},
	OPTION_JSON_SPEC,
	{0},
};

struct ps_args {
	bool all, quiet, json, watch;
	uint64_t interval; /* seconds; 0: not said */
};

static int cmd_ps_parse(struct options *opts, struct ps_args *args, struct err *err)
{
	int id, ret;

	while ((id = options_next(opts, err)) > 0) {
		args->all |= id == 'a';
		args->quiet |= id == 'q';
		args->json |= id == OPTION_JSON;
		args->watch |= id == 'w';
		if (id != OPTION_INTERVAL)
			continue;
		ret = parse_number(opts->value, "--interval", 1, 3600, &args->interval, err);
		if (ret < 0)
			return ret;
	}
	if (id < 0)
		return id;
	if (args->quiet && args->json)
		return err_set(err, ERR_USAGE, "--quiet and --json exclude each other");
	if (args->quiet && args->watch)
		return err_set(err, ERR_USAGE, "--quiet and --watch exclude each other");
	if (args->interval != 0 && !args->watch)
		return err_set(err, ERR_USAGE, "--interval goes with --watch");
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
static void age_text(char out[24], int64_t seconds)
{
	static const struct {
		int64_t seconds;
		char unit;
	} units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
	unsigned i = 0;

	while (i < 3 && seconds < units[i].seconds)
		i++;
	snprintf(out, 24, "%lld%c", (long long)(seconds / units[i].seconds), units[i].unit);
}

static uint64_t number_of(const json_t *object, const char *key)
{
	const json_int_t value = json_integer_value(json_object_get(object, key));

	return value > 0 ? (uint64_t)value : 0;
}

/* What is missing of one that runs while it is fetched; "" when nothing is. */
static void arriving_cell(char out[CELL_SIZE], const json_t *status)
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
	snprintf(out, CELL_SIZE, "%s", text);
}

/* "8080->80, 127.0.0.1:53->53/udp": an address that is any, and tcp, go without saying. */
static void ports_cell(char out[CELL_SIZE], const json_t *ports)
{
	const json_t *port;
	size_t i, len = 0;

	json_array_foreach(ports, i, port)
	{
		const char *address = protocol_text(port, "address");
		const bool any = strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0;
		const bool v6 = !any && strchr(address, ':') != NULL;
		const bool udp = strcmp(protocol_text(port, "protocol"), "udp") == 0;

		if (len + 1 >= CELL_SIZE)
			break;
		len += (size_t)snprintf(
			out + len, CELL_SIZE - len, "%s%s%s%s%s%lld->%lld%s", i > 0 ? ", " : "",
			v6 ? "[" : "", any ? "" : address, v6 ? "]" : "", any ? "" : ":",
			(long long)json_integer_value(json_object_get(port, "host")),
			(long long)json_integer_value(json_object_get(port, "guest")),
			udp ? "/udp" : "");
	}
}

static void state_cell(char out[CELL_SIZE], const json_t *status)
{
	const json_t *percent = json_object_get(status, "percent");
	const char *state = protocol_text(status, "state"), *end = protocol_text(status, "end");

	if (percent != NULL)
		snprintf(out, CELL_SIZE, "%s %d%%", state, (int)json_integer_value(percent));
	else
		snprintf(out, CELL_SIZE, "%s%s%s", state, end[0] != '\0' ? ":" : "", end);
}

/* "12M/256M": what it has of the host's memory, of what the guest has. */
static void memory_cell(char out[CELL_SIZE], const json_t *status)
{
	const uint64_t memory = number_of(status, "memory"),
		       resident = number_of(status, "resident");

	if (memory == 0)
		return;
	if (resident > 0)
		snprintf(out, CELL_SIZE, "%lluM/%lluM", (unsigned long long)resident >> 20,
			 (unsigned long long)memory >> 20);
	else
		snprintf(out, CELL_SIZE, "%lluM", (unsigned long long)memory >> 20);
}

/* Since it was started, or ended. */
static void time_cell(char out[CELL_SIZE], const json_t *status)
{
	const uint64_t ended = number_of(status, "ended"), started = number_of(status, "started");
	char age[24];

	if (ended == 0 && started == 0)
		return;
	age_text(age, time(NULL) - (int64_t)(ended != 0 ? ended : started));
	snprintf(out, CELL_SIZE, "%s%s", age, ended != 0 ? " ago" : "");
}

static void number_cell(char out[CELL_SIZE], const json_t *status, const char *key)
{
	const json_t *number = json_object_get(status, key);

	if (number != NULL)
		snprintf(out, CELL_SIZE, "%lld", (long long)json_integer_value(number));
}

struct row {
	char cell[CELLS][CELL_SIZE]; /* "" is printed as - */
};

static void row_of(struct row *row, const json_t *status)
{
	*row = (struct row){0};
	snprintf(row->cell[0], CELL_SIZE, "%s", protocol_text(status, "name"));
	state_cell(row->cell[1], status);
	number_cell(row->cell[2], status, "exit-status");
	number_cell(row->cell[3], status, "pid");
	number_cell(row->cell[4], status, "vcpus");
	memory_cell(row->cell[5], status);
	time_cell(row->cell[6], status);
	ports_cell(row->cell[7], json_object_get(status, "ports"));
	snprintf(row->cell[8], CELL_SIZE, "%s", protocol_text(status, "origin"));
	arriving_cell(row->cell[9], status);
	for (unsigned i = 0; i < CELLS; i++) {
		/* A text that was cut off may end within a letter. */
		printable_utf8(row->cell[i]);
		if (row->cell[i][0] == '\0' && i != CELLS - 1)
			strcpy(row->cell[i], "-");
	}
}

static void print_row(struct screen *screen, const struct row *row, const int width[CELLS])
{
	char line[CELLS * (CELL_SIZE + 2)];
	int len = 0;

	/* The last two are as long as they are. */
	for (unsigned i = 0; i < CELLS - 2; i++)
		len += snprintf(line + len, sizeof(line) - (size_t)len, "%-*s  ", width[i],
				row->cell[i]);
	snprintf(line + len, sizeof(line) - (size_t)len, "%s%s%s", row->cell[CELLS - 2],
		 row->cell[CELLS - 1][0] != '\0' ? "  " : "", row->cell[CELLS - 1]);
	screen_line(screen, line);
}

static int print_table(struct screen *screen, const json_t *list, struct err *err)
{
	static const struct row head = {{"NAME", "STATE", "EXIT", "PID", "VCPUS", "MEMORY", "TIME",
					 "PORTS", "APPLIANCE", ""}};
	const size_t n = json_array_size(list);
	cleanup_free struct row *row = calloc(n + 1, sizeof(*row));
	int width[CELLS] = {0};
	size_t i;

	if (row == NULL)
		return err_sys(err, ENOMEM, "list machines");
	row[0] = head;
	for (i = 0; i < n; i++)
		row_of(&row[i + 1], json_array_get(list, i));
	for (i = 0; i <= n; i++) {
		for (unsigned c = 0; c < CELLS; c++) {
			const int len = (int)strlen(row[i].cell[c]);

			width[c] = len > width[c] ? len : width[c];
		}
	}
	for (i = 0; i <= n && !screen_is_full(screen); i++)
		print_row(screen, &row[i], width);
	screen_end(screen, (unsigned)(n + 1 - i));
	return 0;
}

static int print_machines(const struct ps_args *args, struct screen *screen, json_t *list,
			  struct err *err)
{
	json_t *status;
	size_t i;

	if (args->json && args->watch) {
		json_dumpf(list, stdout, JSON_COMPACT | json_out_escapes(stdout));
		putchar('\n');
	} else if (args->json) {
		json_out(json_incref(list));
	} else if (args->quiet) {
		json_array_foreach(list, i, status) puts(protocol_text(status, "name"));
	} else {
		return print_table(screen, list, err);
	}
	return 0;
}

static int ps_once(const struct ps_args *args, struct screen *screen, struct err *err)
{
	struct machine_names names;
	cleanup_json json_t *list = NULL;
	int ret = machine_names_list(&names, err);

	if (ret < 0)
		return ret;
	ret = ps_collect(&names, args->all, &list, err);
	machine_names_free(&names);
	return ret < 0 ? ret : print_machines(args, screen, list, err);
}

static int ps_watch(const struct ps_args *args, struct err *err)
{
	const uint64_t interval = args->interval != 0 ? args->interval : DEFAULT_INTERVAL;
	struct screen screen = {0};
	int ret;

	do {
		screen_begin(&screen);
		ret = ps_once(args, &screen, err);
		if (ret == 0)
			ret = flush_lines(err);
	} while (ret == 0 && screen_wait((unsigned)interval * 1000));
	return ret < 0 ? ret : 0;
}

static int cmd_ps_run(struct options *opts, struct err *err)
{
	struct screen screen = {0};
	struct ps_args args = {0};
	int ret = cmd_ps_parse(opts, &args, err);

	if (ret < 0)
		return ret;
	return args.watch ? ps_watch(&args, err) : ps_once(&args, &screen, err);
}

const struct command cmd_ps = {
	.name = "ps",
	.args = "",
	.summary = "list running machines",
	.detail = "EXIT is the status that torpor wait returns, of one that has ended (-a). MEMORY "
		  "is what "
		  "it has of the host's memory, of what the guest has. TIME is since it was "
		  "started, or "
		  "has ended. APPLIANCE is the file or the image that it was made from.",
	.options = options,
	.run = cmd_ps_run,
};
