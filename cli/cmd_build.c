/* torpor build: write a cold appliance. */
#include <stdio.h>

#include "cli/command.h"
#include "cli/key_args.h"
#include "cli/net_args.h"
#include "cli/source_args.h"
#include "format/archive_writer.h"
#include "format/image/image_pack.h"
#include "host/parse.h"
#include "host/paths.h"

#define OPTION_ENCRYPT (OPTION_LONG_ONLY + 1)

static const struct option_spec options[] = {
	{'o', "output", "FILE", "the appliance to write, - for standard output; required"},
	{OPTION_ENCRYPT, "encrypt", NULL, "encrypt it with a new passphrase, or --key-file"},
	KEY_OPTIONS,
	MACHINE_OPTIONS,
	{OPT_NET, "net", "user|none", "a network card, or none; repeatable; default one"},
	NET_CARD_OPTIONS,
	{0},
};

struct build_args {
	struct machine_args machine;
	struct net_args net;
	struct key_args keys;
	bool encrypt;
	const char *output;
};

static void cmd_build_option(struct build_args *args, int id, const char *value)
{
	if (id == 'o')
		args->output = value;
	else
		args->encrypt = key_args_take(&args->keys, id, value) || id == OPTION_ENCRYPT;
}

static int cmd_build_parse(struct options *opts, struct build_args *args, struct err *err)
{
	int id, ret = 0;

	while (ret >= 0 && (id = options_next(opts, err)) != 0) {
		if (id < 0)
			return id;
		ret = machine_args_take(&args->machine, id, opts->value, err);
		if (ret == 0)
			ret = net_args_take(&args->net, id, opts->value, err);
		if (ret == 0)
			cmd_build_option(args, id, opts->value);
	}
	if (ret < 0)
		return ret;
	if (args->output == NULL)
		return err_set(err, ERR_USAGE, "-o FILE is missing");
	ret = parse_output(args->output, err);
	if (ret < 0)
		return ret;
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

static int write_disks(struct archive_writer *w, struct disk *const disk[], unsigned ndisks,
		       struct err *err)
{
	int ret = 0;

	for (unsigned i = 0; ret == 0 && i < ndisks; i++) {
		struct image_source image;
		const struct image *none;
		char role[16];

		snprintf(role, sizeof(role), ROLE_DISK ".%u", i);
		disk_base_source(disk[i], &image, &none);
		ret = archive_writer_image(w, role, &image, err);
	}
	return ret;
}

static int write_contents(struct archive_writer *w, const struct source *source,
			  struct disk *const disk[], struct err *err)
{
	int ret = archive_writer_blob(w, ROLE_KERNEL, &source->boot.kernel, err);

	if (ret == 0 && source->boot.initrd.len > 0)
		ret = archive_writer_blob(w, ROLE_INITRD, &source->boot.initrd, err);
	if (ret == 0)
		ret = write_disks(w, disk, source->appliance.ndisks, err);
	return ret < 0 ? ret : archive_writer_publish(w, &source->appliance, NULL, err);
}

static int build(struct source *source, const char *output, const struct keyring *keys,
		 struct err *err)
{
	struct disk *disk[APPLIANCE_MAX_DISKS] = {0};
	struct archive_writer *w = NULL;
	int ret = check_boot(source, err);

	if (ret == 0)
		ret = source_open_disks(source, disk, err);
	if (ret == 0)
		ret = archive_writer_open(&w, output, err);
	if (ret == 0)
		archive_writer_pack(w, IMAGE_PACK_LEVEL);
	if (ret == 0 && keys != NULL)
		ret = archive_writer_encrypt(w, keys, err);
	if (ret == 0)
		ret = write_contents(w, source, disk, err);
	archive_writer_free(w);
	for (unsigned i = 0; i < source->appliance.ndisks; i++) {
		if (disk[i] != NULL)
			disk_close(disk[i]);
	}
	return ret;
}

static int cmd_build_run(struct options *opts, struct err *err)
{
	cleanup_keyring struct keyring *keys = NULL;
	struct build_args args = {0};
	struct source source;
	int ret = cmd_build_parse(opts, &args, err);

	if (ret == 0 && args.encrypt)
		ret = keys_to_lock(&args.keys, &keys, err);
	if (ret == 0)
		ret = source_from_args(&source, &args.machine, err);
	if (ret < 0)
		return ret;
	ret = net_args_make_cards(&args.net, &source.appliance, err);
	if (ret == 0)
		ret = build(&source, args.output, keys, err);
	source_close(&source);
	return ret;
}

const struct command cmd_build = {
	.name = "build",
	.args = "",
	.summary = "write a cold appliance from a kernel, an initrd and disks",
	.options = options,
	.run = cmd_build_run,
};
