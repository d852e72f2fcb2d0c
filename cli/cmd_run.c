/* torpor run: boot a machine. */
#include <errno.h>

#include "cli/command.h"
#include "cli/flag_file.h"
#include "cli/image_build.h"
#include "cli/key_args.h"
#include "cli/launch.h"
#include "cli/lease.h"
#include "cli/limit_args.h"
#include "cli/net_args.h"
#include "cli/share_args.h"
#include "cli/source_args.h"
#include "cli/spool.h"
#include "cli/supervise.h"
#include "cli/vsock_args.h"
#include "host/parse.h"

enum { OPTION_RM = OPTION_LONG_ONLY + 1 };

static const struct option_spec options[] = {
	{'d', "detach", NULL, "run in the background and print the name"},
	{'n', "name", "NAME", "name of the machine; default a random one"},
	{OPTION_RM, "rm", NULL, "leave no logs and records behind"},
	SUPERVISE_ON_TERM,
	LEASE_OPTION,
	MACHINE_OPTIONS,
	SHARE_OPTION,
	VSOCK_OPTION,
	LIMIT_OPTIONS,
	NET_OPTIONS,
	NET_CARD_OPTIONS,
	KEY_OPTIONS,
	IMAGE_OPTIONS,
	OPTION_PROGRESS_SPEC,
	{0},
};

struct run_args {
	struct supervise_args supervise;
	struct machine_args machine;
	struct limits limits;
	struct limits_helper helper;
	struct image_args image; /* image.from: FILE is one */
	struct net_args net;
	struct share_args shares;
	struct vsock_args vsock;
	struct instance_options instance;
	struct key_args keys;
	bool detach;
	const char *lease; /* --until-closed; NULL: not given */
	int operand;	   /* index of the first */
	const char *file;
};

static int cmd_run_option(struct run_args *args, int id, const char *value, struct err *err)
{
	int taken = machine_args_take(&args->machine, id, value, err);

	if (taken == 0)
		taken = limit_args_take(&args->limits, id, value, err);
	if (taken == 0)
		taken = net_args_take(&args->net, id, value, err);
	if (taken == 0)
		taken = share_args_take(&args->shares, id, value, err);
	if (taken == 0)
		taken = vsock_args_take(&args->vsock, id, value);
	if (taken == 0)
		taken = image_args_take(&args->image, id, value, err);
	if (taken != 0)
		return taken < 0 ? taken : 0;
	if (key_args_take(&args->keys, id, value))
		return 0;
	switch (id) {
	case 'd':
		args->detach = true;
		return 0;
	case 'n':
		args->instance.name = value;
		return parse_name(value, err);
	case OPTION_RM:
		args->instance.remove = true;
		return 0;
	case OPTION_UNTIL_CLOSED:
		args->lease = value;
		return 0;
	default:
		return option_unhandled(id, err);
	}
}

static int refuse_image_options(const struct image_args *image, struct err *err)
{
	if (image->modules == NULL && image->nmodules == 0 && !image->has_space)
		return 0;
	return err_set(err, ERR_USAGE,
		       "--modules, --module and --space are for the image of a container");
}

/* docker:// is an image until it is known to be an appliance. */
static bool is_image(const struct run_args *args)
{
	return image_source_is(args->file) ||
	       (args->image.pull == PULL_ALWAYS && reference_is_remote(args->file));
}

static int cmd_run_parse(struct options *opts, struct run_args *args, struct err *err)
{
	int id, expanded = flag_file_expand(opts, err);

	if (expanded < 0)
		return expanded;
	while ((id = options_next(opts, err)) != 0) {
		int ret = id < 0 ? id : supervise_take(&args->supervise, opts, id, err);

		if (ret == 0)
			ret = cmd_run_option(args, id, opts->value, err);
		if (ret < 0)
			return ret;
	}
	args->operand = opts->operand;
	args->file = options_operand(opts);
	if (args->file != NULL && is_image(args)) {
		args->image.from = args->file;
	} else {
		int ret = refuse_image_options(&args->image, err);

		if (ret < 0)
			return ret;
	}
	if (args->image.from != NULL && opts->operand < opts->argc) {
		args->image.command = opts->argv + opts->operand;
		return 0;
	}
	return options_end(opts, err);
}

static int open_cold_file(const struct run_args *args, struct source *source, struct err *err)
{
	struct archive_open_params params = {.fd = -1};
	struct target input;
	int ret = spool_input(&input, args->file, &params.fd, err);

	if (ret < 0)
		return image_source_explain(args->file, ret, err);
	ret = keys_to_open(&args->keys, &params.keys, err);
	if (ret < 0)
		return ret;
	ret = source_from_keyed_file(source, input.file, &params, &args->keys, err);
	return ret < 0 && err->kind == ERR_INTEGRITY ? image_source_explain(args->file, ret, err)
						     : ret;
}

/* The command line replaces sizes and the like of a file, and adds disks, but not its kernel. */
static int prepare_file(struct run_args *args, struct source *source, struct err *err)
{
	int ret;

	if (source->appliance.live)
		return err_set(err, ERR_USAGE, "%s is live: wake it with torpor resume %s",
			       args->file, args->file);
	ret = source_check(source, err);
	if (ret < 0)
		return ret;
	ret = chain_ensure_verified(source->chain, err);
	if (ret < 0)
		return ret;
	ret = disk_args_add(&args->machine.disks, source, err);
	if (ret < 0)
		return ret;
	ret = disk_args_limit(&args->machine.disks, source, err);
	if (ret < 0)
		return ret;
	ret = source_override(source, &args->machine, err);
	if (ret < 0)
		return ret;
	return net_args_override(&args->net, &source->appliance, err);
}

static int run_open(struct run_args *args, struct source *source, struct err *err)
{
	struct machine_args *m = &args->machine;

	if ((args->file == NULL || args->image.from != NULL) && key_args_given(&args->keys))
		return err_set(err, ERR_USAGE,
			       "a key opens an encrypted FILE, and none is given: it is not used");
	if (args->file == NULL || args->image.from != NULL)
		return source_from_args(source, m, err);
	if (m->kernel != NULL || m->initrd != NULL)
		return err_set(err, ERR_USAGE,
			       "%s has a kernel and an initrd of its own: they cannot be given too",
			       args->file);
	return open_cold_file(args, source, err);
}

static int run_prepare(struct run_args *args, struct source *source, struct err *err)
{
	bool is_file = args->file != NULL && args->image.from == NULL;
	int ret = is_file ? prepare_file(args, source, err)
			  : net_args_make_cards(&args->net, &source->appliance, err);

	if (ret == 0)
		ret = share_args_add(&args->shares, source, err);
	if (ret == 0)
		vsock_args_add(&args->vsock, source);
	return ret < 0 ? ret : connections_bind(&args->net.connections, &source->appliance, err);
}

/* Before the sandbox of a machine. */
static int make_image(struct run_args *args, struct image_parts *parts, struct err *err)
{
	int ret;

	for (unsigned i = 0; i < args->shares.n; i++)
		args->image.share[i] = args->shares.share[i].guest;
	args->image.nshares = args->shares.n;
	args->image.vsock = args->vsock.path != NULL;
	ret = image_parts_make(parts, &args->image, &args->machine, IMAGE_RUN, err);

	if (ret < 0 || !parts->appliance)
		return ret;
	if (args->image.command != NULL)
		return err_set(err, ERR_USAGE, "%s is an appliance: it takes no command",
			       args->file);
	args->image.from = NULL;
	return refuse_image_options(&args->image, err);
}

static void run_args_free(struct run_args *args)
{
	supervise_free(&args->supervise);
	disk_args_close(&args->machine.disks);
	share_args_close(&args->shares);
	vsock_args_close(&args->vsock);
	limits_helper_close(&args->helper);
}

static int run_service(const struct run_args *args, const struct supervise_start *start,
		       struct err *err)
{
	int ret =
		supervise_check_disks(&args->supervise, disk_args_write(&args->machine.disks), err);

	if (ret < 0)
		return ret;
	if (args->supervise.nports > 0)
		return err_set(err, ERR_USAGE,
			       "-p listen: torpor resume wakes a live appliance when a connection "
			       "comes, and run boots one");
	return supervise(&args->supervise, start, err);
}

static int cmd_run_run(struct options *opts, struct err *err)
{
	cleanup_image_parts struct image_parts parts = IMAGE_PARTS_NONE;
	__attribute__((cleanup(run_args_free))) struct run_args args = {.helper =
										LIMITS_HELPER_NONE};
	struct supervise_start start = {.verb = "run"};
	struct source source;
	int ret = cmd_run_parse(opts, &args, err);

	if (ret < 0)
		return ret;
	if (supervise_wanted(&args.supervise)) {
		start.noperands = opts->argc - args.operand;
		start.operand = opts->argv + args.operand;
		start.detach = args.detach;
		return run_service(&args, &start, err);
	}
	args.instance.origin = args.image.from;
	if (args.image.from != NULL) {
		ret = make_image(&args, &parts, err);
		if (ret < 0)
			return ret;
	}
	ret = lease_open(args.lease, &args.instance.lease_fd, err);
	if (ret < 0)
		return ret;
	ret = limits_helper_start(&args.helper, &args.limits, err);
	if (ret < 0)
		return ret;
	ret = disk_args_open(&args.machine.disks, err);
	if (ret < 0)
		return ret;
	ret = share_args_open(&args.shares, err);
	if (ret < 0)
		return ret;
	ret = vsock_args_open(&args.vsock, err);
	if (ret < 0)
		return ret;
	ret = launch_guard(&args.net.connections, err);
	if (ret < 0)
		return ret;
	ret = run_open(&args, &source, err);
	if (ret < 0)
		return ret;
	ret = run_prepare(&args, &source, err);
	if (ret == 0 && args.image.from != NULL)
		ret = image_parts_annotate(&parts, &args.image, &source.appliance, err);
	if (ret < 0) {
		source_close(&source);
		return ret;
	}
	limit_args_warn(&args.limits, source.appliance.vcpus, source.appliance.memory);
	args.instance.connections = &args.net.connections;
	args.instance.limits = &args.helper;
	return launch(&source, &args.instance, args.detach, err);
}

const struct command cmd_run = {
	.name = "run",
	.args = "[FILE|IMAGE [-- COMMAND…]]",
	.summary = "boot a machine, from a cold appliance FILE, a container image or --kernel",
	.detail =
		"In the foreground the terminal is the machine's console: Ctrl-C goes to the "
		"guest, and ~. at\n"
		"the beginning of a line ends the machine. The exit status is 0 when the guest "
		"switched itself\n"
		"off or was saved, 137 when it was killed.\n\n"
		"IMAGE is what torpor build --from takes: docker://HOST/NAME, oci:FOLDER, a "
		"folder that is a root file system. Its root disk is kept in the cache, so that "
		"the "
		"next run of the same contents starts at once; torpor gc removes it when they are "
		"gone.",
	.options = options,
	.run = cmd_run_run,
};
