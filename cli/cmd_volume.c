/* torpor volume: data disks with a name, in the store. A verb of verbs: the first operand says what. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/num.h"
#include "cli/command.h"
#include "cli/disk_user.h"
#include "cli/json_out.h"
#include "format/archive.h"
#include "format/image/disk_digest.h"
#include "host/parse.h"
#include "host/protocol.h"
#include "host/store.h"
#include "volume/volume.h"

static const struct option_spec options[] = {
	OPTION_JSON_SPEC,
	{0},
};

struct volume_args {
	const char *name;
	const char *size; /* create: NULL: not given */
	bool json;
};

static int create(struct volume_args *args, struct err *err)
{
	uint64_t size = 0;
	struct path path;
	int ret = args->size != NULL ? parse_memory(args->size, &size, err) : 0;

	/* Below, 0 is the default. */
	if (ret == 0 && args->size != NULL && size == 0)
		ret = err_set(err, ERR_USAGE, "volume %s: 0 bytes are too small for ext4",
			      args->name);
	if (ret == 0)
		ret = volume_create(args->name, size, &path, err);
	if (ret == 0)
		printf("%s\n", args->name);
	return ret;
}

/* {"name", "file", "size", "allocated", "used": [{"machine", "id", "mode"}]} */
static json_t *volume_json(const char *name, const struct path *path)
{
	struct stat st;

	if (stat(path->text, &st) < 0)
		return NULL;
	return json_pack("{s:s,s:s,s:I,s:I,s:o}", "name", name, "file", path->text, "size",
			 (json_int_t)st.st_size, "allocated", (json_int_t)st.st_blocks * 512,
			 "used", disk_user_machines(path->text));
}

static int list_one(void *opaque, const char *name, const struct path *path, struct err *err)
{
	json_t *list = opaque, *volume = volume_json(name, path);

	(void)err;
	/* One that is removed at this moment is not there. */
	if (volume != NULL)
		json_array_append_new(list, volume);
	return 0;
}

static const char *first_user(const json_t *volume)
{
	return protocol_text(json_array_get(json_object_get(volume, "used"), 0), "machine");
}

static int list(struct volume_args *args, struct err *err)
{
	json_t *volumes = json_array(), *volume;
	size_t i;
	int ret = volume_each(list_one, volumes, err);

	if (ret < 0) {
		json_decref(volumes);
		return ret;
	}
	if (args->json) {
		json_out(volumes);
		return 0;
	}
	if (json_array_size(volumes) > 0)
		printf("%-20s %9s %9s  %s\n", "NAME", "MiB", "USED", "MACHINE");
	json_array_foreach(volumes, i, volume)
	{
		printf("%-20s %9.1f %9.1f  %s\n", protocol_text(volume, "name"),
		       (double)json_integer_value(json_object_get(volume, "size")) / (double)MIB(1),
		       (double)json_integer_value(json_object_get(volume, "allocated")) /
			       (double)MIB(1),
		       first_user(volume));
	}
	json_decref(volumes);
	return 0;
}

static int inspect(struct volume_args *args, struct err *err)
{
	struct path path;
	json_t *volume;
	int ret = volume_find(args->name, &path, err);

	if (ret < 0)
		return ret;
	volume = volume_json(args->name, &path);
	if (volume == NULL)
		return err_sys(err, errno, "%s", path.text);
	json_out(volume);
	return 0;
}

struct disk_question {
	const char *name;
	int fd;
	uint64_t size;
	char digest[DIGEST_TEXT_SIZE]; /* of all it holds; "": not asked for yet */
};

/* A saved machine knows the disk by what it holds, and by nothing else. */
static int refuse_needed(void *opaque, const char *path, struct err *err)
{
	cleanup_archive struct archive *a = NULL;
	struct disk_question *q = opaque;
	const struct appliance *app;
	int opened = archive_open(&a, path, err);

	if (opened < 0)
		return opened;
	app = archive_appliance(a);
	for (uint32_t i = 0; i < app->ndisks; i++) {
		const struct appliance_disk *disk = &app->disk[i];
		int ret = 0;

		if (disk->outside[0] == '\0' || disk->size != q->size)
			continue;
		if (q->digest[0] == '\0')
			ret = disk_digest(q->fd, q->size, NULL, q->digest, err);
		if (ret < 0)
			return ret;
		if (strcmp(disk->outside, q->digest) == 0)
			return err_set(
				err, ERR_FAILED,
				"volume %s is disk %s of the machine that is saved in %s, which "
				"cannot wake without it: remove that file first",
				q->name, disk->id, path);
	}
	return 0;
}

static int refuse_if_needed(void *opaque, int fd, uint64_t size, struct err *err)
{
	struct disk_question q = {.name = opaque, .fd = fd, .size = size};

	return store_each(refuse_needed, &q, err);
}

static int take_away(struct volume_args *args, struct err *err)
{
	char user[DISK_USER_SIZE];
	struct path path;
	int ret = volume_remove(args->name, refuse_if_needed, (void *)args->name, err);

	if (ret != -EBUSY || path_volume(&path, args->name, NULL) < 0)
		return ret;
	disk_user_find(path.text, user);
	err_set(err, ERR_FAILED, "volume %s is in use by %s: end that first", args->name, user);
	return ret;
}

static const struct subcommand subcommands[] = {
	{"create", "NAME [SIZE]", "make one, sparse, with ext4; default 10G", {0}, NULL},
	{"ls", "", "which there are, and who uses them", {OPTION_JSON}, NULL},
	{"inspect",
	 "NAME",
	 "where it is, its size and what it takes, as JSON",
	 {OPTION_JSON},
	 NULL},
	{"rm",
	 "NAME",
	 "remove one, with what is on it, unless it is in use or a saved machine needs it",
	 {0},
	 NULL},
	{0},
};

/* In the order of the subcommands. */
static const struct action {
	int (*run)(struct volume_args *args, struct err *err);
	bool named;
	bool sized;
} actions[] = {
	{create, true, true},
	{list, false, false},
	{inspect, true, false},
	{take_away, true, false},
};

_Static_assert(ARRAY_SIZE(actions) + 1 == ARRAY_SIZE(subcommands), "one for each");

extern const struct command cmd_volume;

static const struct action *find_action(const char *name, struct err *err)
{
	const struct subcommand *sub =
		name != NULL ? command_find_subcommand(&cmd_volume, name) : NULL;

	if (sub != NULL)
		return &actions[sub - subcommands];
	err_set(err, ERR_USAGE, "say create, ls, inspect or rm (see torpor help volume)");
	return NULL;
}

static int cmd_volume_run(struct options *opts, struct err *err)
{
	bool given[ARRAY_SIZE(options)] = {false};
	struct volume_args args = {0};
	const struct action *action;
	int id;

	while ((id = options_next(opts, err)) > 0) {
		args.json |= id == OPTION_JSON;
		subcommand_note_option(options, id, given);
	}
	if (id < 0)
		return id;
	action = find_action(options_operand(opts), err);
	if (action == NULL)
		return -EINVAL;
	if (action->named) {
		args.name = options_operand(opts);
		if (args.name == NULL)
			return err_set(err, ERR_USAGE, "NAME is missing (see torpor help volume)");
	}
	if (action->sized)
		args.size = options_operand(opts);
	id = subcommand_check_options("volume", &subcommands[action - actions], options, given,
				      err);
	if (id == 0)
		id = options_end(opts, err);
	return id < 0 ? id : action->run(&args, err);
}

const struct command cmd_volume = {
	.name = "volume",
	.args = "create|ls|inspect|rm [NAME] [SIZE]",
	.summary = "data disks with a name, which machines have by --volume NAME",
	.detail =
		"A volume is a raw disk in the folder volumes of the store, with ext4, which "
		"mke2fs makes. The guest mounts it as /dev/disk/by-id/virtio-NAME. It stays until "
		"it is removed: torpor gc leaves volumes alone.",
	.subcommands = subcommands,
	.options = options,
	.run = cmd_volume_run,
};
