/* See trim.h. */
#include "cli/trim.h"

#include <stdio.h>
#include <time.h>

#define CACHES_MS    10000
#define LONGEST_STEP 16

static int ask(struct client *client, bool *able, struct err *err)
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

static int is_busy(struct client *client, bool *busy, struct err *err)
{
	json_t *reply;
	int ret = client_do(client, "trimming", CLIENT_FOREVER, &reply, err);

	if (ret < 0)
		return ret;
	*busy = json_is_true(json_object_get(reply, "busy"));
	json_decref(reply);
	return 0;
}

int trim(struct client *client, struct err *err)
{
	bool busy = false;
	int ret = ask(client, &busy, err);

	if (ret == 0 && !busy)
		fprintf(stderr,
			"torpor: %s cannot be trimmed: it is paused, or its guest has no "
			"driver for the balloon\n",
			client->name);
	for (int waited = 0, step = 1; ret == 0 && busy && waited < CACHES_MS; waited += step) {
		nanosleep(&(struct timespec){.tv_nsec = step * 1000000L}, NULL);
		ret = is_busy(client, &busy, err);
		if (step < LONGEST_STEP)
			step *= 2;
	}
	return ret;
}
