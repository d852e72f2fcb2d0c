/* torpor stats: what a machine costs at the moment, and how far its memory has come. */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "cli/command.h"
#include "cli/json_out.h"
#include "host/client.h"
#include "instance/fill.h"

#define OPTION_FILL (OPTION_LONG_ONLY + 1)

static const struct option_spec options[] = {
	{OPTION_FILL, "fill", FILL_WORDS, "how untouched memory is loaded from now on"},
	OPTION_JSON_SPEC,
	{0},
};

struct stats_args {
	const char *name;
	const char *fill;
	bool json;
};

static int cmd_stats_parse(struct options *opts, struct stats_args *args, struct err *err)
{
	enum pager_fill fill;
	int id;

	while ((id = options_next(opts, err)) > 0) {
		assert(id == OPTION_JSON || id == OPTION_FILL);
		if (id == OPTION_JSON) {
			args->json = true;
			continue;
		}
		args->fill = opts->value;
		/* It may be the name, with the value forgotten. */
		if (fill_parse(args->fill, &fill, err) < 0)
			return -EINVAL;
	}
	return id < 0 ? id : options_one_operand(opts, "NAME", &args->name, err);
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

static void print_stats(const json_t *stats)
{
	const json_t *paging = json_object_get(stats, "paging");

	printf("up                  %.0f s\n", stats_number(stats, "uptime"));
	printf("resident memory     %.1f MiB, %.1f of it shared with files\n",
	       stats_number(stats, "resident") / 1048576, stats_number(stats, "shared") / 1048576);
	if (paging != NULL)
		print_paging(paging);
	print_network(json_object_get(stats, "network"));
}

static int set_fill(struct client *client, const char *fill, struct err *err)
{
	return client_call(client, json_pack("{s:s,s:s}", "do", "fill", "fill", fill),
			   CLIENT_FOREVER, NULL, err);
}

static int show_stats(struct client *client, bool json, struct err *err)
{
	json_t *stats;
	int ret = client_do(client, "stats", CLIENT_FOREVER, &stats, err);

	if (ret < 0)
		return ret;
	json_object_del(stats, "ok");
	if (json)
		json_out(json_incref(stats));
	else
		print_stats(stats);
	json_decref(stats);
	return 0;
}

static int cmd_stats_run(struct options *opts, struct err *err)
{
	struct stats_args args = {0};
	struct client client;
	int ret = cmd_stats_parse(opts, &args, err);

	if (ret < 0)
		return ret;
	ret = client_open(&client, args.name, err);
	if (ret < 0)
		return ret;
	if (args.fill != NULL)
		ret = set_fill(&client, args.fill, err);
	if (ret >= 0 && (args.fill == NULL || args.json))
		ret = show_stats(&client, args.json, err);
	client_close(&client);
	return ret;
}

const struct command cmd_stats = {
	.name = "stats",
	.args = "NAME",
	.summary = "what a machine costs, and how much of its memory has been paged in",
	.detail = "Memory of a packed file is loaded when it is touched, and besides in the "
		  "background: idle uses the spare time of one core, full all cores, none does "
		  "nothing.",
	.options = options,
	.run = cmd_stats_run,
};
