/* torpor run: boot a machine. */
#include "cli/command.h"
#include "cli/key_args.h"
#include "cli/launch.h"
#include "cli/net_args.h"
#include "cli/source_args.h"
#include "cli/spool.h"
#include "host/parse.h"

static const struct option_spec options[] = {
	{'d', "detach", NULL, "run in the background and print the name"},
	{'n', "name", "NAME", "name of the machine; default a random one"},
	{OPTION_LONG_ONLY + 1, "rm", NULL, "leave no logs and records behind"},
	MACHINE_OPTIONS,
	NET_OPTIONS,
	NET_CARD_OPTIONS,
	KEY_OPTIONS,
	{0},
};

struct run_args {
	struct machine_args machine;
	struct net_args net;
	struct instance_options instance;
	struct key_args keys;
	bool detach;
	const char *file;
};

static int cmd_run_parse(struct options *opts, struct run_args *args, struct err *err)
{
	int id, ret = 0;

	while (ret >= 0 && (id = options_next(opts, err)) != 0) {
		if (id < 0)
			return id;
		ret = machine_args_take(&args->machine, id, opts->value, err);
		if (ret == 0)
			ret = net_args_take(&args->net, id, opts->value, err);
		if (ret != 0)
			continue;
		if (id == 'd')
			args->detach = true;
		else if (id == 'n')
			args->instance.name = opts->value;
		else if (!key_args_take(&args->keys, id, opts->value))
			args->instance.remove = true;
	}
	if (ret < 0)
		return ret;
	if (args->instance.name != NULL)
		ret = parse_name(args->instance.name, err);
	if (ret < 0)
		return ret;
	args->file = options_operand(opts);
	return options_end(opts, err);
}

/* A cold file; the command line may overrule sizes and the like, but not contents. */
static int open_file(const struct run_args *args, struct source *source, struct err *err)
{
	const struct machine_args *m = &args->machine;
	struct archive_open_params params = {.fd = -1};
	const char *path = args->file;
	int ret;

	if (m->kernel != NULL || m->initrd != NULL || m->ndisks > 0)
		return err_set(err, ERR_USAGE,
			       "%s brings kernel, initrd and disks: they cannot be given too",
			       args->file);
	ret = spool_input(&path, &params.fd, err);
	if (ret == 0)
		ret = keys_to_open(&args->keys, &params.keys, err);
	if (ret == 0)
		ret = source_from_file(source, path, &params, err);
	if (ret < 0)
		return ret;
	if (source->appliance.live)
		ret = err_set(err, ERR_USAGE, "%s is live: wake it with torpor resume %s",
			      args->file, args->file);
	if (ret == 0)
		ret = source_check(source, err);
	if (ret == 0)
		ret = chain_ensure_verified(source->chain, err);
	if (ret == 0)
		ret = source_override(source, m, err);
	if (ret == 0)
		ret = net_args_override(&args->net, &source->appliance, err);
	if (ret < 0)
		source_close(source);
	return ret;
}

static int from_args(const struct run_args *args, struct source *source, struct err *err)
{
	int ret = source_from_args(source, &args->machine, err);

	if (ret < 0)
		return ret;
	ret = net_args_make_cards(&args->net, &source->appliance, err);
	if (ret < 0)
		source_close(source);
	return ret;
}

static int cmd_run_run(struct options *opts, struct err *err)
{
	struct run_args args = {0};
	struct source source;
	int ret = cmd_run_parse(opts, &args, err);

	if (ret == 0)
		ret = launch_guard(&args.net.connections, err);
	if (ret == 0)
		ret = args.file != NULL ? open_file(&args, &source, err)
					: from_args(&args, &source, err);
	if (ret < 0)
		return ret;
	ret = connections_bind(&args.net.connections, &source.appliance, err);
	if (ret < 0) {
		source_close(&source);
		return ret;
	}
	args.instance.connections = &args.net.connections;
	return launch(&source, &args.instance, args.detach, err);
}

const struct command cmd_run = {
	.name = "run",
	.args = "[FILE]",
	.summary = "boot a machine, from a cold appliance FILE or from --kernel",
	.detail = "In the foreground the terminal is the machine's console: Ctrl-C goes to the "
		  "guest, and ~. at\n"
		  "the beginning of a line ends the machine. The exit status is 0 when the guest "
		  "switched itself\n"
		  "off or was saved, 137 when it was killed.",
	.options = options,
	.run = cmd_run_run,
};
