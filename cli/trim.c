/* See trim.h. */
#include "cli/trim.h"

#include <stdio.h>
#include <time.h>

#define STEP_MS	     10
#define FREE_STEPS   50
#define CACHES_STEPS 1000

static int ask(struct client *client, bool caches, bool *able, struct err *err)
{
	json_t *reply;
	int ret = client_call(client, json_pack("{s:s,s:b}", "do", "trim", "caches", (int)caches),
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

int trim(struct client *client, bool caches, struct err *err)
{
	static const struct timespec step = {.tv_nsec = STEP_MS * 1000000L};
	bool busy = false;
	int ret = ask(client, caches, &busy, err);

	if (ret == 0 && caches && !busy)
		fprintf(stderr,
			"torpor: %s cannot be trimmed: it is paused, or its guest has no "
			"driver for the balloon\n",
			client->name);
	for (int i = 0; ret == 0 && busy && i < (caches ? CACHES_STEPS : FREE_STEPS); i++) {
		nanosleep(&step, NULL);
		ret = is_busy(client, &busy, err);
	}
	return ret;
}
