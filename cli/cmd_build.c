/* torpor build: write an appliance, a cold one or, once it has booted, a live one. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "cli/build_live.h"
#include "cli/cold_file.h"
#include "cli/command.h"
#include "cli/flag_file.h"
#include "cli/image_build.h"
#include "cli/key_args.h"
#include "cli/net_args.h"
#include "cli/source_args.h"
#include "host/parse.h"

#define READY_TIMED_OUT 124 /* as torpor wait */

static const struct option_spec options[] = {
	{'o', "output", "FILE", "the appliance to write, - for standard output; required"},
	LIVE_OPTIONS,
	{OPTION_ENCRYPT, "encrypt", NULL, "encrypt it with a new passphrase, or --key-file"},
	KEY_OPTIONS,
	MACHINE_OPTIONS,
	{OPT_NET, "net", "user|none", "a network card, or none; repeatable; default one"},
	NET_CARD_OPTIONS,
	IMAGE_FROM_OPTION,
	IMAGE_OPTIONS,
	OPTION_PROGRESS_SPEC,
	{0},
};

struct build_args {
	struct machine_args machine;
	struct image_args image;
	struct net_args net;
	struct key_args keys;
	struct live_args live;
	bool encrypt;
	const char *output;
};

static int cmd_build_option(struct build_args *args, int id, const char *value, struct err *err)
{
	int ret = machine_args_take(&args->machine, id, value, err);

	if (ret != 0)
		return ret < 0 ? ret : 0;
	ret = image_args_take(&args->image, id, value, err);
	if (ret != 0)
		return ret < 0 ? ret : 0;
	ret = live_args_take(&args->live, id, value, err);
	if (ret != 0)
		return ret < 0 ? ret : 0;
	/* A file has cards; what they are connected to is a matter of each host. */
	if (id == OPT_NET && strcmp(value, "user") != 0 && strcmp(value, "none") != 0)
		return err_set(err, ERR_USAGE,
			       "--net: '%s' is not user or none: torpor run and resume say what a "
			       "card is connected to",
			       value);
	ret = net_args_take(&args->net, id, value, err);
	if (ret != 0)
		return ret < 0 ? ret : 0;
	if (id == 'o') {
		args->output = value;
		return 0;
	}
	args->encrypt = true;
	if (id != OPTION_ENCRYPT && !key_args_take(&args->keys, id, value))
		assert(false);
	return 0;
}

/* Nothing that goes into the appliance is replaced by it. */
static int spare_inputs(const struct build_args *args, struct err *err)
{
	int ret = output_spares(args->output, args->machine.kernel, err);

	if (ret == 0)
		ret = output_spares(args->output, args->machine.initrd, err);
	if (ret == 0)
		ret = output_spares(args->output, args->image.from, err);
	for (unsigned i = 0; ret == 0 && i < args->machine.disks.n; i++)
		ret = output_spares(args->output, args->machine.disks.disk[i].path, err);
	return ret < 0 ? ret : key_args_spared(&args->keys, args->output, err);
}

static int cmd_build_parse(struct options *opts, struct build_args *args, struct err *err)
{
	int id, ret = flag_file_expand(opts, err);

	if (ret < 0)
		return ret;
	while ((id = options_next(opts, err)) != 0) {
		ret = id < 0 ? id : cmd_build_option(args, id, opts->value, err);
		if (ret < 0)
			return ret;
	}
	if (args->output == NULL)
		return err_set(err, ERR_USAGE,
			       "-o FILE, the appliance to write, is missing: torpor build -o "
			       "web.torpor %s %s, or -o - for a pipe",
			       args->image.from != NULL ? "--from" : "--kernel",
			       args->image.from != NULL ? args->image.from : "KERNEL …");
	ret = parse_output(args->output, err);
	if (ret < 0)
		return ret;
	ret = spare_inputs(args, err);
	if (ret < 0)
		return ret;
	if (args->image.from == NULL &&
	    (args->image.modules != NULL || args->image.nmodules > 0 || args->image.has_space))
		return err_set(err, ERR_USAGE, "--modules, --module and --space are for --from");
	if (disk_args_write(&args->machine.disks))
		return err_set(
			err, ERR_USAGE,
			"--disk F,rw: an appliance holds its disks, and rw is for torpor run "
			"and resume");
	if (args->machine.disks.nlimits > 0)
		return err_set(err, ERR_USAGE,
			       "--disk-iops and --disk-bps are for torpor run and resume");
	if (args->live.live && args->encrypt)
		return err_set(err, ERR_USAGE,
			       "--encrypt: a hot set would lie in it in clear; write a live "
			       "appliance, and encrypt it with torpor convert --encrypt");
	ret = live_args_check(&args->live, args->image.from != NULL, args->output, err);
	if (ret < 0)
		return ret;
	if (args->image.from != NULL && opts->operand < opts->argc) {
		args->image.command = opts->argv + opts->operand;
		return 0;
	}
	return options_end(opts, err);
}

static int live_timed_out(const struct options *opts, const struct err *err)
{
	command_print_error(opts->verb, err);
	return READY_TIMED_OUT;
}

static int cmd_build_run(struct options *opts, struct err *err)
{
	cleanup_image_parts struct image_parts parts = IMAGE_PARTS_NONE;
	cleanup_keyring struct keyring *keys = NULL;
	struct build_args args = {0};
	struct cold_file cold;
	struct source source;
	int ret = cmd_build_parse(opts, &args, err);

	if (ret < 0)
		return ret;
	if (args.encrypt) {
		ret = keys_to_lock(&args.keys, &keys, err);
		if (ret < 0)
			return ret;
	}
	if (args.image.from != NULL) {
		ret = image_parts_make(&parts, &args.image, &args.machine, IMAGE_BUILD, err);
		if (ret == 0)
			ret = live_args_from_image(&args.live, &parts.root.config, err);
		if (ret < 0)
			return ret;
	}
	ret = source_from_args(&source, &args.machine, err);
	if (ret < 0)
		return ret;
	ret = net_args_make_cards(&args.net, &source.appliance, err);
	if (ret == 0 && args.image.from != NULL)
		ret = image_parts_annotate(&parts, &args.image, &source.appliance, err);
	if (ret == 0 && args.live.live) {
		ret = build_live(&args.live, &source, args.output, err);
		return ret == -ETIMEDOUT ? live_timed_out(opts, err) : ret;
	}
	cold = (struct cold_file){.verb = "build", .output = args.output, .keys = keys};
	if (ret == 0)
		ret = cold_file_write(&cold, &source, err);
	source_close(&source);
	return ret;
}

const struct command cmd_build = {
	.name = "build",
	.args = "[@FILE] [-- COMMAND…]",
	.summary = "write an appliance from a container image, or from kernel, initrd and disks",
	.detail =
		"SOURCE of --from is docker://HOST/NAME[:TAG] (a registry's image), "
		"oci:FOLDER[:TAG], "
		"oci-archive:FILE[:TAG], docker-archive:FILE[:NAME], tar:FILE or a FOLDER. Its "
		"root "
		"file system becomes the first disk, without root and with the same bytes each "
		"time. The guest runs the image's command as its user; COMMAND replaces the "
		"image's own, not its entrypoint.\n\n"
		"The appliance is cold: it boots when it is run. With --live it is booted here, "
		"and "
		"written as it runs once all that --ready says has come true, or without it the "
		"image's health check has; torpor resume wakes "
		"it. Ports of --ready are published on free ports of 127.0.0.1 meanwhile. The exit "
		"status is 124 when it is not ready in time.\n\n"
		"@FILE stands for the words in FILE, a recipe: options as on the command line, as "
		"many lines as you like, # before a comment, and quotes as in a shell.\n\n"
		"Without --kernel the kernel is the newest of /boot with its modules, or Debian's "
		"kernel for clouds, which is downloaded by apt once.",
	.options = options,
	.run = cmd_build_run,
};
