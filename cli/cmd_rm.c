/* torpor rm: forget a machine that is over. */
#include "cli/command.h"
#include "cli/each_machine.h"
#include "cli/remove_machine.h"

static const struct option_spec options[] = {
	{'f', "force", NULL, "kill running machines first"},
	{0},
};

static int remove_one(const char *name, void *opaque, struct err *err)
{
	const bool *force = opaque;

	return remove_machine(name, *force, err);
}

static int cmd_rm_run(struct options *opts, struct err *err)
{
	bool force = false;
	int ret = options_flags(opts, 'f', &force, err);

	return ret < 0 ? ret : each_machine(opts, remove_one, &force, err);
}

const struct command cmd_rm = {
	.name = "rm",
	.args = "NAME…",
	.summary = "remove the logs and records of machines that are over",
	.detail = "Files that torpor save wrote, in the store or elsewhere, are left alone.",
	.options = options,
	.run = cmd_rm_run,
};
