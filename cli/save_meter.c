/* See save_meter.h. */
#include "cli/save_meter.h"

#include <string.h>

#include "base/json.h"

#define ANSWER_MS 1000

/* On the meter's thread: the connection of the save waits for its end. */
static bool look_at_save(void *opaque, uint64_t *done, uint64_t *expected)
{
	const struct client *saver = opaque;
	cleanup_json json_t *status = NULL;
	const json_t *saving;
	struct client client;

	if (client_open_within(&client, saver->name, ANSWER_MS, NULL) < 0)
		return false;
	(void)client_do(&client, "status", ANSWER_MS, &status, NULL);
	client_close(&client);
	saving = json_object_get(status, "saving");
	*done = (uint64_t)json_integer_value(json_object_get(saving, "done"));
	*expected = (uint64_t)json_integer_value(json_object_get(saving, "expected"));
	return saving != NULL;
}

int save_meter_begin(const char *verb, const char *cancelled, const struct client *client,
		     struct err *err)
{
	const struct meter_params params = {
		.verb = verb,
		.cancelled = cancelled,
		.look = look_at_save,
		.opaque = (void *)client,
	};
	int ret = meter_begin(&params, err);

	if (ret == 0)
		meter_run();
	return ret;
}

static void note(const json_t *saving)
{
	progress_expect(meter_progress(),
			(uint64_t)json_integer_value(json_object_get(saving, "expected")));
	progress_add(meter_progress(),
		     (uint64_t)json_integer_value(json_object_get(saving, "done")));
}

void save_meter_note(const json_t *reply)
{
	note(json_object_get(reply, "saving"));
}

void save_meter_note_lines(const char *said)
{
	const char *last = strrchr(said, '{');
	cleanup_json json_t *line =
		last != NULL ? json_loads(last, JSON_DISABLE_EOF_CHECK, NULL) : NULL;

	note(line);
}
