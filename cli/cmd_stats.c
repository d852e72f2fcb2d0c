/* torpor stats: what a machine costs at the moment, and how far its memory has come. */
#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "cli/command.h"
#include "cli/json_out.h"
#include "cli/limit_args.h"
#include "cli/stats_table.h"
#include "host/claim.h"
#include "host/client.h"
#include "host/parse.h"
#include "instance/fill.h"
#include "limits/place.h"

#define MOST_SECONDS 86400u

enum {
	OPTION_FILL = OPTION_LONG_ONLY + 1,
	OPTION_INTERVAL,
	OPTION_PROMETHEUS,
};

static const struct option_spec options[] = {
	{'w', "watch", NULL, "again and again, until ^C; on a terminal in the same place"},
	{OPTION_INTERVAL, "interval", "SECONDS", "of --watch; default 2"},
	{OPTION_FILL, "fill", FILL_WORDS, "how untouched memory is loaded from now on"},
	OPTION_JSON_SPEC,
	{OPTION_PROMETHEUS, "prometheus", NULL, "print metrics in Prometheus' text format"},
	{0},
};

struct stats_args {
	char *const *name; /* nnames of them; 0: all that run */
	size_t nnames;
	const char *fill;
	bool json, watch, prometheus;
	uint64_t interval; /* seconds; 0: not given */
};

static int cmd_stats_option(struct stats_args *args, int id, const char *value, struct err *err)
{
	enum pager_fill fill;

	switch (id) {
	case OPTION_JSON:
		args->json = true;
		return 0;
	case OPTION_PROMETHEUS:
		args->prometheus = true;
		return 0;
	case 'w':
		args->watch = true;
		return 0;
	case OPTION_INTERVAL:
		return parse_number(value, "--interval", 1, MOST_SECONDS, &args->interval, err);
	case OPTION_FILL:
		args->fill = value;
		/* It may be the name, with the value forgotten. */
		return fill_parse(value, &fill, err) < 0 ? -EINVAL : 0;
	default:
		return option_unhandled(id, err);
	}
}

static int cmd_stats_parse(struct options *opts, struct stats_args *args, struct err *err)
{
	int id;

	while ((id = options_next(opts, err)) != 0) {
		int ret = id < 0 ? id : cmd_stats_option(args, id, opts->value, err);

		if (ret < 0)
			return ret;
	}
	args->name = opts->argv + opts->operand;
	args->nnames = (size_t)(opts->argc - opts->operand);
	if (args->interval != 0 && !args->watch)
		return err_set(err, ERR_USAGE, "--interval goes with --watch");
	if (args->prometheus && (args->json || args->watch || args->fill != NULL))
		return err_set(err, ERR_USAGE, "--prometheus excludes --json, --watch and --fill");
	if (args->fill == NULL)
		return 0;
	if (args->watch)
		return err_set(err, ERR_USAGE, "--fill and --watch exclude each other");
	if (args->nnames == 0)
		return options_missing(opts, "NAME", err);
	return args->nnames == 1 ? 0 : err_set(err, ERR_USAGE, "--fill is of one machine");
}

static double stats_number(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static void print_paging(const json_t *paging)
{
	double frames = stats_number(paging, "frames"), present = stats_number(paging, "present");
	double faults = stats_number(paging, "faults");

	printf("memory paged in     %.1f of %.1f MiB (%.0f %%), fill %s\n", present / 16,
	       frames / 16, 100 * present / frames, protocol_text(paging, "fill"));
	printf("  waited for        %.0f frames", faults);
	if (faults > 0)
		printf(", %.0f us on average, %.0f at most",
		       stats_number(paging, "fault-ns-sum") / faults / 1e3,
		       stats_number(paging, "fault-ns-max") / 1e3);
	printf("\n  in the background %.0f frames\n", stats_number(paging, "filled"));
}

static void print_frames(const json_t *card, const char *key)
{
	const json_t *counters = json_object_get(card, key);

	printf("  %-17s %.0f frames, %.1f MiB, %.0f dropped\n", key,
	       stats_number(counters, "frames"), stats_number(counters, "bytes") / 1048576,
	       stats_number(counters, "dropped"));
}

static void print_network(const json_t *network)
{
	const json_t *card;
	size_t i;

	json_array_foreach(network, i, card)
	{
		printf("%-19s %s%s\n", protocol_text(card, "id"), protocol_text(card, "kind"),
		       json_is_true(json_object_get(card, "link")) ? "" : ", link down");
		print_frames(card, "sent");
		print_frames(card, "received");
	}
}

static void print_limits(const json_t *limits)
{
	const json_t *used = json_object_get(limits, "used");

	if (limits == NULL)
		return;
	limit_args_print(limits, 20);
	printf("  used              %.1f MiB, %.0f processes and threads\n",
	       stats_number(used, "memory") / 1048576, stats_number(used, "pids"));
	printf("  held back         %.1f s of vCPUs\n", stats_number(limits, "throttled"));
}

static void print_stats(const json_t *stats)
{
	const json_t *paging = json_object_get(stats, "paging");

	printf("up                  %.0f s\n", stats_number(stats, "uptime"));
	printf("resident memory     %.1f MiB, %.1f of it shared with files\n",
	       stats_number(stats, "resident") / 1048576, stats_number(stats, "shared") / 1048576);
	if (paging != NULL)
		print_paging(paging);
	print_limits(json_object_get(stats, "limits"));
	print_network(json_object_get(stats, "network"));
}

static int set_fill(struct client *client, const char *fill, struct err *err)
{
	return client_call(client, json_pack("{s:s,s:s}", "do", "fill", "fill", fill),
			   CLIENT_FOREVER, NULL, err);
}

static int show_stats(struct client *client, bool json, struct err *err)
{
	cleanup_json json_t *status = NULL;
	json_t *stats, *limits;
	int ret = client_do(client, "status", CLIENT_FOREVER, &status, err);

	if (ret == 0)
		ret = client_do(client, "stats", CLIENT_FOREVER, &stats, err);
	if (ret < 0)
		return ret;
	json_object_del(stats, "ok");
	stats_add_status(stats, status);
	limits = limits_json(client->name, claim_holder(CLAIM_MACHINE, client->name));
	if (limits != NULL)
		json_object_set_new(stats, "limits", limits);
	if (json)
		json_out(json_incref(stats));
	else
		print_stats(stats);
	json_decref(stats);
	return 0;
}

static int one_machine(const struct stats_args *args, struct err *err)
{
	struct client client;
	int ret = client_open(&client, args->name[0], err);

	if (ret < 0)
		return ret;
	if (args->fill != NULL)
		ret = set_fill(&client, args->fill, err);
	if (ret >= 0 && (args->fill == NULL || args->json))
		ret = show_stats(&client, args->json, err);
	client_close(&client);
	return ret;
}

/* Returns the exit status 0, or an error. */
static int many_machines(const struct stats_args *args, struct err *err)
{
	const struct stats_params params = {
		.name = args->name,
		.nnames = args->nnames,
		.json = args->json,
		.prometheus = args->prometheus,
		.watch = args->watch,
		.interval_ms = (unsigned)(args->interval != 0 ? args->interval : 2) * 1000,
	};

	for (size_t i = 0; i < args->nnames; i++) {
		int ret = parse_name(args->name[i], err);

		if (ret < 0)
			return ret;
		if (!claim_is_held(args->name[i]))
			return err_set(err, ERR_NOT_FOUND, "no machine named %s is running",
				       args->name[i]);
	}
	return stats_table(&params, err);
}

static int cmd_stats_run(struct options *opts, struct err *err)
{
	struct stats_args args = {0};
	int ret = cmd_stats_parse(opts, &args, err);

	if (ret < 0)
		return ret;
	if (args.nnames == 1 && !args.watch && !args.prometheus)
		return one_machine(&args, err);
	return many_machines(&args, err);
}

const struct command cmd_stats = {
	.name = "stats",
	.args = "[NAME...]",
	.summary = "what machines cost, and how much of their memory has been paged in",
	.detail = "Without a name, with several, or with -w: a table of the machines that run, "
		  "or of those that are named. VCPUS and VMM are CPU time of the guest's "
		  "processors and of everything else; PRIVATE is memory that only this machine "
		  "has, SHARED what it shares with others and with the page cache; SCRATCH is what "
		  "its disks have written.\n"
		  "\n"
		  "Of one machine: also its network cards, and how its memory is paged in.\n"
		  "\n"
		  "Memory of a packed file is loaded when it is touched, and besides in the "
		  "background: idle uses the spare time of one core, full all cores, none does "
		  "nothing.",
	.options = options,
	.run = cmd_stats_run,
};
