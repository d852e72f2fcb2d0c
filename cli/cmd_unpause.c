/* torpor unpause: let a paused machine go on. */
#include "cli/command.h"
#include "cli/each_machine.h"
#include "host/client.h"

static int unpause_one(const char *name, void *opaque, struct err *err)
{
	(void)opaque;
	return client_once(name, "unpause", err);
}

static int cmd_unpause_run(struct options *opts, struct err *err)
{
	int ret = options_next(opts, err);

	return ret < 0 ? ret : each_machine(opts, unpause_one, NULL, err);
}

const struct command cmd_unpause = {
	.name = "unpause",
	.args = "NAME…",
	.summary = "let paused machines go on",
	.options = options_none,
	.run = cmd_unpause_run,
};
