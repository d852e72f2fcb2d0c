/* See trim.h. */
#include "cli/trim.h"

#include <stdio.h>
#include <time.h>

#define LONGEST_MS   120000
#define LONGEST_STEP 16

static int trim_request(struct client *client, bool *able, struct err *err)
{
	json_t *reply;
	int ret = client_call(client, json_pack("{s:s,s:b}", "do", "trim", "caches", 1),
			      CLIENT_FOREVER, &reply, err);

	if (ret < 0)
		return ret;
	*able = json_is_true(json_object_get(reply, "able"));
	json_decref(reply);
	return 0;
}

static int trim_poll(struct client *client, bool *busy, json_int_t *given, struct err *err)
{
	json_t *reply;
	int ret = client_do(client, "trimming", CLIENT_FOREVER, &reply, err);

	if (ret < 0)
		return ret;
	*busy = json_is_true(json_object_get(reply, "busy"));
	*given = json_integer_value(json_object_get(reply, "bytes"));
	json_decref(reply);
	return 0;
}

int trim(struct client *client, struct err *err)
{
	bool able = false, busy = true;
	json_int_t given = 0;
	int ret = trim_request(client, &able, err);

	if (ret < 0)
		return ret;
	if (!able) {
		fprintf(stderr,
			"torpor: %s cannot be trimmed: it is paused, or its guest has no "
			"driver for the balloon\n",
			client->name);
		return 0;
	}
	for (int waited = 0, step = 1; busy && waited < LONGEST_MS; waited += step) {
		nanosleep(&(struct timespec){.tv_nsec = step * 1000000L}, NULL);
		ret = trim_poll(client, &busy, &given, err);
		if (ret < 0)
			return ret;
		if (step < LONGEST_STEP)
			step *= 2;
	}
	if (given == 0)
		fprintf(stderr, "torpor: the guest of %s gave up nothing\n", client->name);
	return 0;
}
