/* See stats_table.h. */
#include "cli/stats_table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/printable.h"
#include "cli/each_machine.h"
#include "cli/json_out.h"
#include "cli/print_line.h"
#include "cli/screen.h"
#include "host/claim.h"
#include "host/client.h"
#include "instance/record.h"
#include "limits/place.h"
#include "report/prometheus.h"

#define ANSWER_MS 1000
#define ROW_SIZE  256u
/* 80 columns, with names of up to 12 letters. */
#define ROW_FORMAT "%-12s %-8s %5s %8s %7s %8s %8s %8s %8s"

struct stats_row {
	const char *name; /* of params or names */
	json_t *stats;	  /* owned; NULL: it is over */
	uint64_t at;	  /* CLOCK_MONOTONIC, ns */
};

/* What the machines said at one time. */
struct stats_round {
	struct machine_names names; /* that run; none when the user has named some */
	struct stats_row *row;	    /* owned */
	size_t n;
};

static void round_free(struct stats_round *round)
{
	for (size_t i = 0; i < round->n; i++)
		json_decref(round->row[i].stats);
	free(round->row);
	machine_names_free(&round->names);
	*round = (struct stats_round){0};
}

/* NULL when it gave none, because it is being saved, for example. */
static json_t *ask_stats(const char *name)
{
	struct client client;
	json_t *stats = NULL;

	if (client_open_within(&client, name, ANSWER_MS, NULL) < 0)
		return NULL;
	(void)client_call(&client, json_pack("{s:s,s:b}", "do", "stats", "usage", 1), ANSWER_MS,
			  &stats, NULL);
	client_close(&client);
	return stats;
}

void stats_add_status(json_t *stats, const json_t *status)
{
	static const char *const keys[] = {"name", "state", "pid", "percent"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		json_t *value = json_object_get(status, keys[i]);

		if (value != NULL)
			json_object_set(stats, keys[i], value);
	}
}

static void ask_row(size_t index, void *opaque)
{
	const struct stats_round *round = opaque;
	struct stats_row *row = &round->row[index];
	json_t *status, *stats, *limits;

	if (!claim_is_held(row->name))
		return;
	status = machine_status(row->name);
	stats = ask_stats(row->name);
	row->at = clock_monotonic_ns();
	row->stats = stats != NULL ? stats : json_object();
	json_object_del(row->stats, "ok");
	limits = limits_json(row->name, (pid_t)json_integer_value(json_object_get(status, "pid")));
	if (limits != NULL)
		json_object_set_new(row->stats, "limits", limits);
	stats_add_status(row->stats, status);
	json_decref(status);
}

static int round_ask(struct stats_round *round, const struct stats_params *params, struct err *err)
{
	char *const *name = params->name;

	*round = (struct stats_round){.n = params->nnames};
	if (params->nnames == 0) {
		int ret = machine_names_list(&round->names, err);

		if (ret < 0)
			return ret;
		name = round->names.name;
		round->n = round->names.count;
	}
	round->row = calloc(round->n + 1, sizeof(round->row[0]));
	if (round->row == NULL) {
		round->n = 0;
		return err_sys(err, ENOMEM, "list machines");
	}
	for (size_t i = 0; i < round->n; i++)
		round->row[i].name = name[i];
	each_at_once(round->n, ask_row, round);
	return 0;
}

static bool all_over(const struct stats_round *round)
{
	for (size_t i = 0; i < round->n; i++) {
		if (round->row[i].stats != NULL)
			return false;
	}
	return true;
}

/* --- text --- */

/* -1: it did not say. */
static double number_of(const json_t *stats, const char *object, const char *key)
{
	const json_t *from = object != NULL ? json_object_get(stats, object) : stats;
	const json_t *value = json_object_get(from, key);

	return json_is_number(value) ? json_number_value(value) : -1;
}

/* "12.5M"; "-" for what is not known. */
static const char *bytes_text(char out[16], double bytes)
{
	if (bytes < 0)
		return "-";
	if (bytes >= 1024.0 * 1024 * 1024 * 10)
		snprintf(out, 16, "%.1fG", bytes / (1024.0 * 1024 * 1024));
	else
		snprintf(out, 16, "%.1fM", bytes / (1024.0 * 1024));
	return out;
}

static const char *seconds_text(char out[16], double seconds)
{
	if (seconds < 0)
		return "-";
	snprintf(out, 16, "%.2fs", seconds);
	return out;
}

static const char *percent_text(char out[16], double part, double all)
{
	if (part < 0 || all <= 0)
		return "-";
	snprintf(out, 16, "%.0f%%", 100 * part / all);
	return out;
}

static double cpu_seconds(const json_t *stats)
{
	const double vcpus = number_of(stats, "cpu", "vcpus"), vmm = number_of(stats, "cpu", "vmm");

	return vcpus < 0 || vmm < 0 ? -1 : vcpus + vmm;
}

/* Of one core, since the round before. */
static const char *load_text(char out[16], const struct stats_row *row,
			     const struct stats_round *before)
{
	const double now = cpu_seconds(row->stats);

	for (size_t i = 0; i < before->n; i++) {
		const struct stats_row *old = &before->row[i];
		const double then = cpu_seconds(old->stats);

		if (old->stats == NULL || strcmp(old->name, row->name) != 0 || then < 0 ||
		    now < then || row->at <= old->at)
			continue;
		return percent_text(out, now - then, (double)(row->at - old->at) / NS_PER_SECOND);
	}
	return "-";
}

static void row_text(char out[ROW_SIZE], const struct stats_row *row,
		     const struct stats_round *before)
{
	const json_t *s = row->stats;
	char state[24], cpu[16], vcpus[16], vmm[16], private[16], shared[16], scratch[16],
		paged[16];
	const double percent = number_of(s, NULL, "percent");

	if (percent >= 0)
		snprintf(state, sizeof(state), "%.14s %.0f%%", protocol_text(s, "state"), percent);
	else
		snprintf(state, sizeof(state), "%.20s", protocol_text(s, "state"));
	snprintf(out, ROW_SIZE, ROW_FORMAT, row->name, state, load_text(cpu, row, before),
		 seconds_text(vcpus, number_of(s, "cpu", "vcpus")),
		 seconds_text(vmm, number_of(s, "cpu", "vmm")),
		 bytes_text(private, number_of(s, "usage", "private")),
		 bytes_text(shared, number_of(s, "usage", "shared")),
		 bytes_text(scratch, number_of(s, NULL, "scratch")),
		 percent_text(paged, number_of(s, "paging", "present"),
			      number_of(s, "paging", "frames")));
	printable(out);
}

static void print_table(const struct stats_round *round, const struct stats_round *before,
			struct screen *screen)
{
	char line[ROW_SIZE];
	unsigned left = 0;

	snprintf(line, sizeof(line), ROW_FORMAT, "NAME", "STATE", "CPU", "VCPUS", "VMM", "PRIVATE",
		 "SHARED", "SCRATCH", "PAGED-IN");
	screen_line(screen, line);
	for (size_t i = 0; i < round->n; i++) {
		if (round->row[i].stats == NULL)
			continue;
		if (screen_is_full(screen)) {
			left++;
			continue;
		}
		row_text(line, &round->row[i], before);
		screen_line(screen, line);
	}
	screen_end(screen, left);
}

static json_t *round_json(const struct stats_round *round)
{
	json_t *list = json_array();

	for (size_t i = 0; i < round->n; i++) {
		if (round->row[i].stats != NULL)
			json_array_append(list, round->row[i].stats);
	}
	return list;
}

static int print_prometheus(const struct stats_round *round, struct err *err)
{
	cleanup_json json_t *list = round_json(round);
	cleanup_buf struct buf text = {0};

	prometheus_add(&text, list);
	if (list == NULL || buf_failed(&text))
		return err_sys(err, ENOMEM, "print metrics");
	fwrite(text.data, 1, text.len, stdout);
	return 0;
}

static void print_json(const struct stats_round *round, bool one_line)
{
	json_t *list = round_json(round);

	if (!one_line) {
		json_out(list);
		return;
	}
	json_dumpf(list, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6) | json_out_escapes(stdout));
	putchar('\n');
	json_decref(list);
}

/* --- again and again --- */

static int watch(const struct stats_params *params, struct err *err)
{
	struct stats_round round, before = {0};
	struct screen screen = {0};
	int ret;

	do {
		ret = round_ask(&round, params, err);
		if (ret < 0)
			break;
		if (params->nnames > 0 && all_over(&round)) {
			round_free(&round);
			break;
		}
		if (params->json) {
			print_json(&round, true);
		} else {
			screen_begin(&screen);
			print_table(&round, &before, &screen);
		}
		round_free(&before);
		before = round;
		ret = flush_lines(err);
	} while (ret == 0 && screen_wait(params->interval_ms));
	round_free(&before);
	return ret < 0 ? ret : 0;
}

int stats_table(const struct stats_params *params, struct err *err)
{
	const struct stats_round before = {0};
	struct screen screen = {0};
	struct stats_round round;
	int ret;

	if (params->watch)
		return watch(params, err);
	ret = round_ask(&round, params, err);
	if (ret < 0)
		return ret;
	if (params->prometheus)
		ret = print_prometheus(&round, err);
	else if (params->json)
		print_json(&round, false);
	else
		print_table(&round, &before, &screen);
	round_free(&round);
	return ret;
}
