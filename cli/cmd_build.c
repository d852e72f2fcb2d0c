/* torpor build: write a cold appliance. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "cli/command.h"
#include "cli/image_build.h"
#include "cli/key_args.h"
#include "cli/net_args.h"
#include "cli/source_args.h"
#include "format/archive_writer.h"
#include "format/image/image_pack.h"
#include "host/parse.h"
#include "host/paths.h"

static const struct option_spec options[] = {
	{'o', "output", "FILE", "the appliance to write, - for standard output; required"},
	{OPTION_ENCRYPT, "encrypt", NULL, "encrypt it with a new passphrase, or --key-file"},
	KEY_OPTIONS,
	MACHINE_OPTIONS,
	{OPT_NET, "net", "user|none", "a network card, or none; repeatable; default one"},
	NET_CARD_OPTIONS,
	IMAGE_FROM_OPTION,
	IMAGE_OPTIONS,
	{0},
};

struct build_args {
	struct machine_args machine;
	struct image_args image;
	struct net_args net;
	struct key_args keys;
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
	for (unsigned i = 0; ret == 0 && i < args->machine.ndisks; i++)
		ret = output_spares(args->output, args->machine.disk[i].path, err);
	return ret < 0 ? ret : key_args_spared(&args->keys, args->output, err);
}

static int cmd_build_parse(struct options *opts, struct build_args *args, struct err *err)
{
	int id, ret;

	while ((id = options_next(opts, err)) != 0) {
		ret = id < 0 ? id : cmd_build_option(args, id, opts->value, err);
		if (ret < 0)
			return ret;
	}
	if (args->output == NULL)
		return err_set(err, ERR_USAGE,
			       "-o FILE, the appliance to write, is missing: torpor build -o "
			       "web.torpor --kernel KERNEL …, or -o - for a pipe");
	ret = parse_output(args->output, err);
	if (ret < 0)
		return ret;
	ret = spare_inputs(args, err);
	if (ret < 0)
		return ret;
	if (args->image.from == NULL &&
	    (args->image.modules != NULL || args->image.nmodules > 0 || args->image.has_space))
		return err_set(err, ERR_USAGE, "--modules, --module and --space are for --from");
	if (args->image.from != NULL && opts->operand < opts->argc) {
		args->image.command = opts->argv + opts->operand;
		return 0;
	}
	return options_end(opts, err);
}

/* A dry run of the loader: a kernel that cannot start is refused now, not at the first run. */
static int check_boot(const struct source *source, struct err *err)
{
	struct board_info board = {.nvcpus = source->appliance.vcpus};
	struct boot_entry entry;
	struct mem mem;
	int ret = mem_init(&mem, source->appliance.memory, err);

	if (ret < 0)
		return ret;
	ret = arch_boot_load(&mem, &source->boot, &board, &entry, err);
	mem_free(&mem);
	return ret < 0 ? source_boot_failed(source, ret, err) : 0;
}

static int write_contents(struct archive_writer *w, const struct source *source,
			  struct disk *const disk[], struct err *err)
{
	int ret = archive_writer_blob(w, ROLE_KERNEL, &source->boot.kernel, err);

	if (ret < 0)
		return ret;
	if (source->boot.initrd.len > 0) {
		ret = archive_writer_blob(w, ROLE_INITRD, &source->boot.initrd, err);
		if (ret < 0)
			return ret;
	}
	for (unsigned i = 0; i < source->appliance.ndisks; i++) {
		struct image_source image;
		const struct image *none;
		char role[16];

		snprintf(role, sizeof(role), ROLE_DISK ".%u", i);
		disk_base_source(disk[i], &image, &none);
		ret = archive_writer_image(w, role, &image, err);
		if (ret < 0)
			return ret;
	}
	return archive_writer_publish(w, &source->appliance, NULL, err);
}

static int write_appliance(const struct source *source, struct disk *const disk[],
			   const char *output, const struct keyring *keys, struct err *err)
{
	cleanup_archive_writer struct archive_writer *w = NULL;
	int ret = archive_writer_open(&w, output, err);

	if (ret < 0)
		return ret;
	archive_writer_pack(w, IMAGE_PACK_LEVEL);
	if (keys != NULL) {
		ret = archive_writer_encrypt(w, keys, err);
		if (ret < 0)
			return ret;
	}
	return write_contents(w, source, disk, err);
}

static int build_appliance(struct source *source, const char *output, const struct keyring *keys,
			   struct err *err)
{
	struct disk *disk[APPLIANCE_MAX_DISKS] = {0};
	int ret = check_boot(source, err);

	if (ret < 0)
		return ret;
	ret = source_open_disks(source, NULL, disk, err);
	if (ret == 0)
		ret = write_appliance(source, disk, output, keys, err);
	for (unsigned i = 0; i < source->appliance.ndisks; i++)
		disk_close(disk[i]);
	return ret;
}

static int cmd_build_run(struct options *opts, struct err *err)
{
	cleanup_image_parts struct image_parts parts = IMAGE_PARTS_NONE;
	cleanup_keyring struct keyring *keys = NULL;
	struct build_args args = {0};
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
		ret = image_parts_make(&parts, &args.image, &args.machine, "build", err);
		if (ret < 0)
			return ret;
	}
	ret = source_from_args(&source, &args.machine, err);
	if (ret < 0)
		return ret;
	ret = net_args_make_cards(&args.net, &source.appliance, err);
	if (ret == 0 && args.image.from != NULL)
		ret = image_parts_annotate(&parts, &args.image, &source.appliance, err);
	if (ret == 0)
		ret = build_appliance(&source, args.output, keys, err);
	source_close(&source);
	return ret;
}

const struct command cmd_build = {
	.name = "build",
	.args = "[-- COMMAND…]",
	.summary =
		"write a cold appliance from a container image, or from kernel, initrd and disks",
	.detail =
		"SOURCE of --from is docker://HOST/NAME[:TAG] (a registry's image), "
		"oci:FOLDER[:TAG], "
		"oci-archive:FILE[:TAG], docker-archive:FILE[:NAME], tar:FILE or a FOLDER. Its "
		"root "
		"file system becomes the first disk, without root and with the same bytes each "
		"time. The guest runs the image's command as its user; COMMAND replaces the "
		"image's own, not its entrypoint.\n\n"
		"Without --kernel the kernel is the newest of /boot with its modules, or Debian's "
		"kernel for clouds, which is downloaded by apt once.",
	.options = options,
	.run = cmd_build_run,
};
