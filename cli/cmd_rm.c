/* torpor rm: forget a machine that is over. */
#include "cli/command.h"
#include "cli/each_machine.h"
#include "host/claim.h"
#include "host/client.h"
#include "host/parse.h"
#include "instance/record.h"

static const struct option_spec options[] = {
	{'f', "force", NULL, "kill running machines first"},
	{0},
};

/* Holding the name keeps a new machine from taking it while its folder goes. */
static int remove_one(const char *name, void *opaque, struct err *err)
{
	const bool *force = opaque;
	struct claim claim;
	int ret = parse_name(name, err);

	if (ret < 0)
		return ret;
	if (claim_is_held(name)) {
		if (!*force)
			return err_set(err, ERR_FAILED, "machine %s is running: stop it, or rm -f",
				       name);
		ret = client_kill_once(name, err);
		if (ret < 0)
			return ret;
	} else if (!machine_is_known(name)) {
		return err_set(err, ERR_NOT_FOUND, "no machine is named %s", name);
	}
	ret = claim_name(&claim, name, err);
	if (ret < 0)
		return ret;
	record_remove_all(name);
	claim_release(&claim);
	return 0;
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
