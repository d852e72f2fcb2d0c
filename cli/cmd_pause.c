/* torpor pause: stop a machine's vCPUs in place. */
#include "cli/command.h"
#include "cli/each_machine.h"
#include "host/client.h"

static int pause_one(const char *name, void *opaque, struct err *err)
{
	(void)opaque;
	return client_once(name, "pause", err);
}

static int cmd_pause_run(struct options *opts, struct err *err)
{
	int ret = options_next(opts, err);

	return ret < 0 ? ret : each_machine(opts, pause_one, NULL, err);
}

const struct command cmd_pause = {
	.name = "pause",
	.args = "NAME…",
	.summary = "stop running machines where they are; their clocks stand still",
	.options = options_none,
	.run = cmd_pause_run,
};
