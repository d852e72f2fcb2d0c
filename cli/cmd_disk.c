/* torpor disk: raw files that are disks. A verb of verbs: the first operand says what. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "cli/command.h"
#include "cli/disk_user.h"
#include "cli/json_out.h"
#include "cli/print_line.h"
#include "host/parse.h"
#include "host/protocol.h"
#include "meter/meter.h"
#include "volume/disk_file.h"
#include "volume/disk_lock.h"
#include "volume/foreign_disk.h"

static const struct option_spec options[] = {
	OPTION_JSON_SPEC,
	OPTION_PROGRESS_SPEC,
	{0},
};

struct disk_verb_args {
	const char *first;
	const char *second;
	bool json;
};

static int create(struct disk_verb_args *args, struct err *err)
{
	uint64_t size;
	int ret = parse_memory(args->second, &size, err);

	return ret < 0 ? ret : disk_file_create(args->first, size, err);
}

static int import(struct disk_verb_args *args, struct err *err)
{
	static const struct meter_params shown = {.verb = "disk",
						  .cancelled = "there is no new disk"};
	uint64_t size;
	int ret = meter_begin(&shown, err);

	if (ret < 0)
		return ret;
	meter_run();
	ret = foreign_disk_import(args->first, args->second, meter_progress(), &size, err);
	meter_end(ret);
	if (ret == 0)
		print_line(stdout, "%s: %.1f MiB", args->second, (double)size / (double)MIB(1));
	return ret;
}

/* What it is, or what is wrong with it. */
static json_t *format_json(int fd)
{
	struct foreign_disk disk;
	struct err err;

	if (foreign_disk_look(fd, &disk, &err) < 0)
		return json_pack("{s:s}", "unusable", err.text);
	return json_pack("{s:s,s:I}", "format",
			 strcmp(disk.format, "vpc") == 0 ? "vhd" : disk.format, "size",
			 (json_int_t)disk.size);
}

/* {"file", "format" and "size" or "unusable", "allocated", "locked": no|read|written, "used"} */
static int look(const char *path, json_t **info, struct err *err)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct disk_lock_state state = {0};
	const char *locked = "no";
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, errno, "%s", path);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(err, ERR_FAILED, "%s: not a file", path);
	if (disk_lock_look(fd, &state, NULL) < 0)
		locked = "unknown";
	else if (state.written)
		locked = "written";
	else if (state.read)
		locked = "read";
	*info = format_json(fd);
	json_object_set_new(*info, "file", json_string(path));
	if (S_ISREG(st.st_mode))
		json_object_set_new(*info, "allocated",
				    json_integer((json_int_t)st.st_blocks * 512));
	json_object_set_new(*info, "locked", json_string(locked));
	json_object_set_new(*info, "used", disk_user_machines(path));
	return 0;
}

static void print_info(const char *path, const json_t *info)
{
	const json_t *allocated = json_object_get(info, "allocated");
	const char *locked = protocol_text(info, "locked");
	char user[DISK_USER_SIZE];

	print_line(stdout, "file        %s", path);
	if (json_object_get(info, "unusable") != NULL)
		print_line(stdout, "format      %s", protocol_text(info, "unusable"));
	else
		printf("format      %s\nsize        %.1f MiB\n", protocol_text(info, "format"),
		       (double)json_integer_value(json_object_get(info, "size")) / (double)MIB(1));
	if (allocated != NULL)
		printf("allocated   %.1f MiB\n",
		       (double)json_integer_value(allocated) / (double)MIB(1));
	if (strcmp(locked, "read") == 0 || strcmp(locked, "written") == 0) {
		disk_user_find(path, user);
		print_line(stdout, "in use      %s by %s", locked, user);
	} else {
		print_line(stdout, "in use      %s", locked);
	}
}

static int info(struct disk_verb_args *args, struct err *err)
{
	json_t *json = NULL;
	int ret = look(args->first, &json, err);

	if (ret < 0)
		return ret;
	if (args->json) {
		json_out(json);
		return 0;
	}
	print_info(args->first, json);
	json_decref(json);
	return 0;
}

static const struct subcommand subcommands[] = {
	{"create", "FILE SIZE", "make an empty one, sparse", {0}, NULL},
	{"import",
	 "IMAGE FILE",
	 "make a raw FILE of a qcow2, VMDK or VHD image, by qemu-img",
	 {OPTION_PROGRESS},
	 NULL},
	{"info",
	 "FILE",
	 "its format, its size, what it takes, and who uses it",
	 {OPTION_JSON},
	 NULL},
	{0},
};

/* In the order of the subcommands. */
static const struct action {
	int (*run)(struct disk_verb_args *args, struct err *err);
	bool two; /* operands */
} actions[] = {
	{create, true},
	{import, true},
	{info, false},
};

_Static_assert(ARRAY_SIZE(actions) + 1 == ARRAY_SIZE(subcommands), "one for each");

extern const struct command cmd_disk;

static const struct action *find_action(const char *name, struct err *err)
{
	const struct subcommand *sub =
		name != NULL ? command_find_subcommand(&cmd_disk, name) : NULL;

	if (sub != NULL)
		return &actions[sub - subcommands];
	err_set(err, ERR_USAGE, "say create, import or info (see torpor help disk)");
	return NULL;
}

static int cmd_disk_run(struct options *opts, struct err *err)
{
	bool given[ARRAY_SIZE(options)] = {false};
	struct disk_verb_args args = {0};
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
	args.first = options_operand(opts);
	args.second = action->two ? options_operand(opts) : NULL;
	if (args.first == NULL || (action->two && args.second == NULL))
		return err_set(err, ERR_USAGE, "it is torpor disk %s %s",
			       subcommands[action - actions].name,
			       subcommands[action - actions].args);
	id = subcommand_check_options("disk", &subcommands[action - actions], options, given, err);
	if (id == 0)
		id = options_end(opts, err);
	return id < 0 ? id : action->run(&args, err);
}

const struct command cmd_disk = {
	.name = "disk",
	.args = "create|import|info FILE [SIZE|FILE]",
	.summary = "raw files that are disks, for --disk",
	.detail = "An image that needs other files (a backing file, external data, a parent) is "
		  "refused: these could be any files of this host. qemu-img reads IMAGE and writes "
		  "FILE, and can reach no other file.",
	.subcommands = subcommands,
	.options = options,
	.run = cmd_disk_run,
};
