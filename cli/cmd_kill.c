/* torpor kill: end a machine at once. */
#include "cli/command.h"
#include "cli/each_machine.h"
#include "host/client.h"

static int kill_one(const char *name, void *opaque, struct err *err)
{
	(void)opaque;
	return client_kill_once(name, err);
}

static int cmd_kill_run(struct options *opts, struct err *err)
{
	int ret = options_next(opts, err);

	return ret < 0 ? ret : each_machine(opts, kill_one, NULL, err);
}

const struct command cmd_kill = {
	.name = "kill",
	.args = "NAME…",
	.summary = "end machines at once, as if the power failed",
	.options = options_none,
	.run = cmd_kill_run,
};
