/* torpor update: change the limits of machines that run. */
#include "cli/command.h"
#include "cli/each_machine.h"
#include "cli/limit_args.h"
#include "host/claim.h"
#include "limits/place.h"

static const struct option_spec options[] = {
	LIMIT_OPTIONS,
	{0},
};

static int update_one(const char *name, void *opaque, struct err *err)
{
	const struct limits *limits = opaque;
	const pid_t pid = claim_holder(CLAIM_MACHINE, name);

	if (pid == 0)
		return err_set(err, ERR_NOT_FOUND, "no machine %s is running", name);
	return limits_change(name, pid, limits, err);
}

static int cmd_update_run(struct options *opts, struct err *err)
{
	struct limits limits = {0};
	int id;

	while ((id = options_next(opts, err)) > 0) {
		int ret = limit_args_take(&limits, id, opts->value, err);

		if (ret < 0)
			return ret;
	}
	if (id < 0)
		return id;
	if (limits.set == 0)
		return err_set(err, ERR_USAGE,
			       "which limit? --cpus, --cpu-weight, --cpuset, --memory-max or "
			       "--pids-max");
	return each_machine(opts, update_one, &limits, err);
}

const struct command cmd_update = {
	.name = "update",
	.args = "NAME…",
	.summary = "change the limits of machines while they run",
	.detail =
		"They are the options of torpor run; `max` takes one away. A machine that was "
		"started "
		"without limits is put into a control group then. torpor inspect shows what is in "
		"force.",
	.options = options,
	.run = cmd_update_run,
};
