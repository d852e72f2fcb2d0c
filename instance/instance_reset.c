/* A golden machine goes back to its file (snapshot/reset.h), and is then what a resume of that file
 * would give: the request "reset". See instance.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "instance/instance.h"

int instance_golden_open(struct instance *in, struct err *err)
{
	int ret = instance_refuse_through(in, "be golden", err);

	if (ret == 0)
		ret = instance_refuse_shared(in, "be golden", err);
	if (ret < 0)
		return ret;
	return golden_open(&in->golden, &in->machine, in->source->chain, err);
}

/* The host's side of what was forgotten. */
static void start_over(struct instance *in)
{
	const struct archive *newest = chain_newest(in->source->chain);
	char why[128];

	snprintf(why, sizeof(why), "machine %s was reset before the command ended", in->claim.name);
	exec_sessions_reset(&in->commands, why);
	hub_forget_input(&in->hub);
	agent_shutdown_forget(&in->shutdown);
	post_resume_again(&in->post_resume);
	in->told_halted = false;
	in->resets++;
	/* The next increment counts from the file again. It was opened by this very path. */
	strcpy(in->base, archive_digest(newest));
	in->base_path = in->golden_path;
}

static int reset_paused(struct instance *in, struct golden_reset *did, struct err *err)
{
	int ret;

	/* What was written during a save is dropped, too, moved or not. */
	instance_thaw_disks(in);
	ret = golden_reset(in->golden, did, err);
	if (ret < 0)
		return ret;
	start_over(in);
	post_resume_hears_generation(&in->post_resume, board_hears_generation(&in->machine));
	return board_new_generation(&in->board, err);
}

json_t *instance_reset(struct instance *in, const json_t *request, struct err *err)
{
	const bool was_running = in->machine.state == MACHINE_RUNNING;
	const uint64_t start = clock_monotonic_ns();
	struct golden_reset did;
	int ret;

	(void)request;
	if (in->golden == NULL) {
		err_set(err, ERR_USAGE,
			"machine %s is not golden: only a machine that was woken by torpor resume "
			"--golden can be reset",
			in->claim.name);
		return NULL;
	}
	if (instance_refuse_held(in, err) < 0 || instance_check_bases(in, err) < 0)
		return NULL;
	instance_events_step_begin(in);
	machine_pause(&in->machine);
	if (in->machine.state != MACHINE_PAUSED) {
		instance_events_step_end(in);
		(void)machine_not_paused(&in->machine, err);
		return NULL;
	}
	ret = reset_paused(in, &did, err);
	/* One that is broken by now stays where it is. */
	if (was_running)
		machine_unpause(&in->machine);
	instance_events_step_end(in);
	if (ret < 0)
		return NULL;
	instance_event(in, "reset", json_pack("{s:I}", "pages", (json_int_t)did.pages));
	return json_pack("{s:b,s:I,s:f,s:f,s:f}", "ok", 1, "pages", (json_int_t)did.pages, "memory",
			 (double)did.memory_ns / NS_PER_SECOND, "state",
			 (double)did.state_ns / NS_PER_SECOND, "seconds",
			 (double)(clock_monotonic_ns() - start) / NS_PER_SECOND);
}

/* 64 hex digits. */
static bool decode_seed(const char *text, uint8_t seed[BOARD_SEED_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	if (text == NULL || strlen(text) != (size_t)2 * BOARD_SEED_SIZE ||
	    strspn(text, digits) != strlen(text))
		return false;
	for (unsigned i = 0; i < BOARD_SEED_SIZE; i++)
		seed[i] = (uint8_t)((strchr(digits, text[2 * i]) - digits) << 4 |
				    (strchr(digits, text[2 * i + 1]) - digits));
	return true;
}

static int refuse_running(const struct instance *in, struct err *err)
{
	if (in->machine.state == MACHINE_PAUSED)
		return instance_refuse_held(in, err);
	return err_set(err, ERR_USAGE, "machine %s is not paused", in->claim.name);
}

json_t *instance_seed(struct instance *in, const json_t *request, struct err *err)
{
	const json_t *clock = json_object_get(request, "clock");
	uint8_t seed[BOARD_SEED_SIZE];

	if (refuse_running(in, err) < 0)
		return NULL;
	if (!in->source->appliance.live ||
	    !decode_seed(json_string_value(json_object_get(request, "seed")), seed) ||
	    (clock != NULL && (!json_is_integer(clock) || json_integer_value(clock) < 0))) {
		err_set(err, ERR_USAGE,
			"seed needs a machine that was woken, 64 hex digits, and a "
			"time since 1970 if any");
		return NULL;
	}
	board_seeded_generation(&in->board, seed);
	/* A guest that does not hear of it goes on with what was saved, which is the same each time. */
	post_resume_hears_generation(&in->post_resume, true);
	if (clock != NULL)
		post_resume_set_time(&in->post_resume, json_integer_value(clock));
	return json_pack("{s:b}", "ok", 1);
}

/* Numbers to an array. */
static int append_counts(json_t *to, const uint32_t *counts)
{
	for (unsigned i = 0; i < CHANGED_PARTS; i++) {
		if (json_array_append_new(to, json_integer(counts[i])) < 0)
			return -ENOMEM;
	}
	return 0;
}

json_t *instance_changed(struct instance *in, const json_t *request, struct err *err)
{
	cleanup_json json_t *memory = json_array(), *disks = json_array();
	uint32_t counts[CHANGED_PARTS];

	(void)request;
	if (refuse_running(in, err) < 0)
		return NULL;
	if (in->golden == NULL) {
		err_set(err, ERR_USAGE, "machine %s is not golden", in->claim.name);
		return NULL;
	}
	golden_count_changes(in->golden, counts);
	if (append_counts(memory, counts) < 0)
		return NULL;
	for (uint32_t i = 0; i < in->source->appliance.ndisks; i++) {
		disk_count_changes(in->disk[i], counts);
		if (append_counts(disks, counts) < 0)
			return NULL;
	}
	return json_pack("{s:b,s:O,s:O}", "ok", 1, "memory", memory, "disks", disks);
}

json_t *instance_golden_json(const struct instance *in)
{
	return json_pack("{s:s,s:I,s:I}", "digest", archive_digest(chain_newest(in->source->chain)),
			 "resets", (json_int_t)in->resets, "kept",
			 (json_int_t)golden_bytes(in->golden));
}
