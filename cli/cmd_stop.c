/* torpor stop: press the power button, and pull the plug when that does not help. */
#include <errno.h>

#include "cli/command.h"
#include "cli/each_machine.h"
#include "host/client.h"
#include "host/parse.h"

#define DEFAULT_SECONDS 10u
#define PRESS_MS	2000 /* to answer at all, when the guest is given less */

static const struct option_spec options[] = {
	{'t', "time", "SECONDS", "how long the guest may take before it is killed; default 10"},
	{0},
};

static int stop_one(const char *name, void *opaque, struct err *err)
{
	const uint64_t *seconds = opaque;
	int wait_ms = (int)(*seconds * 1000);
	struct client client;
	bool told;
	int ret = client_open_to_end(&client, name, &told, err);

	if (ret < 0)
		return told && ret == -ENOENT ? 0 : ret;
	/* A process that stands still itself does not hear of it, and is killed as well. */
	ret = client_do(&client, "stop", wait_ms > PRESS_MS ? wait_ms : PRESS_MS, NULL, err);
	/* One that dies meanwhile has ended, too. */
	if (ret == 0 || ret == -EPIPE)
		ret = client_wait(&client, wait_ms, err);
	if (ret == -ETIMEDOUT)
		ret = client_kill(&client, err);
	client_close(&client);
	return ret;
}

static int cmd_stop_run(struct options *opts, struct err *err)
{
	uint64_t seconds = DEFAULT_SECONDS;
	int id;

	while ((id = options_next(opts, err)) > 0) {
		int ret = parse_number(opts->value, "--time", 0, 86400, &seconds, err);

		if (ret < 0)
			return ret;
	}
	return id < 0 ? id : each_machine(opts, stop_one, &seconds, err);
}

const struct command cmd_stop = {
	.name = "stop",
	.args = "NAME…",
	.summary = "ask guests to switch themselves off, then kill",
	.options = options,
	.run = cmd_stop_run,
};
