/* torpor reset: take a golden machine back to the state of its file, in place. */
#include "cli/command.h"
#include "cli/each_machine.h"
#include "host/client.h"

static int reset_one(const char *name, void *opaque, struct err *err)
{
	(void)opaque;
	return client_once(name, "reset", err);
}

static int cmd_reset_run(struct options *opts, struct err *err)
{
	int ret = options_next(opts, err);

	return ret < 0 ? ret : each_machine(opts, reset_one, NULL, err);
}

const struct command cmd_reset = {
	.name = "reset",
	.args = "NAME…",
	.summary = "take machines of resume --golden back to the state of their files",
	.detail = "Memory, disks, CPUs and devices are as they were saved; the process, the name, "
		  "the "
		  "published ports and\n"
		  "who is at the console stay. A paused machine stays paused.",
	.options = options_none,
	.run = cmd_reset_run,
};
