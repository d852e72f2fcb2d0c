/* torpor save: a running machine becomes a live appliance. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/tempfile.h"
#include "cli/await_arrival.h"
#include "cli/command.h"
#include "cli/json_out.h"
#include "cli/key_args.h"
#include "cli/notice.h"
#include "cli/packing_args.h"
#include "cli/print_line.h"
#include "cli/save_every.h"
#include "cli/save_look.h"
#include "cli/save_meter.h"
#include "cli/target.h"
#include "cli/trim.h"
#include "format/container.h"
#include "format/verified.h"
#include "host/client.h"
#include "host/parse.h"
#include "host/paths.h"
#include "host/store.h"
#include "meter/meter.h"

enum {
	OPTION_PARENT = OPTION_LONG_ONLY + 1,
	OPTION_FULL,
	OPTION_TRIM,
	OPTION_FORCE,
	OPTION_AS,
	OPTION_DISKS,
	OPTION_EVERY,
	OPTION_KEEP,
};

/* A chain of so many wakes (CHAIN_MAX). */
#define KEEP_MAX     100u
#define KEEP_DEFAULT 6u

static const struct option_spec options[] = {
	{'o', "output", "FILE",
	 "file to write, - for standard output; default NAME.torpor in the store"},
	{OPTION_AS, "as", "NAME", "the name it will wake under; default that of the machine"},
	{'R', "leave-running", NULL, "let the machine go on; it stands still for a moment only"},
	{OPTION_DISKS, "disks", "inside|outside",
	 "of disks that are written through: what they hold goes into the file, or they stay "
	 "outside of it"},
	{OPTION_TRIM, "trim", NULL, "have the guest drop its caches first"},
	PACKING_OPTIONS,
	{OPTION_PARENT, "parent", "FILE",
	 "only what changed since FILE (or NAME, or REF), which it woke from or was last saved to"},
	{OPTION_FULL, "full", NULL, "everything, although the parent is in the store"},
	{OPTION_FORCE, "force", NULL, "replace another machine's file of that name in the store"},
	{OPTION_ENCRYPT, "encrypt", NULL,
	 "encrypt it with a new passphrase, or with the machine's key if it has one"},
	{OPTION_DECRYPT, "decrypt", NULL, "write it in clear although the machine has a key"},
	KEY_OPTIONS,
	{OPTION_EVERY, "every", "TIME|off",
	 "again and again, as 10m or 1h: what changed since the last time; off ends one"},
	{OPTION_KEEP, "keep", "N", "moments of --every that stay, at least; default 6"},
	{'d', "detach", NULL, "with --every: in the background once the first file is in place"},
	OPTION_JSON_SPEC,
	OPTION_PROGRESS_SPEC,
	{0},
};

struct save_args {
	const char *name;
	const char *output;
	const char *as;
	const char *parent;
	const char *disks; /* NULL: not said */
	struct key_args keys;
	struct packing_args packing;
	uint64_t every;		     /* seconds; 0: once */
	uint64_t keep;		     /* moments; 0: not said */
	const struct series *series; /* of --every: where the files go; NULL: none */
	bool every_off;
	bool detach;
	bool stream; /* the output is standard output */
	bool leave_running;
	bool full;
	bool force;
	bool trim;
	bool encrypt;
	bool decrypt;
	bool json;
};

static int cmd_save_option(struct save_args *args, int id, const char *value, struct err *err)
{
	int ret = packing_args_take(&args->packing, id, value, err);

	if (ret != 0)
		return ret < 0 ? ret : 0;
	if (key_args_take(&args->keys, id, value)) {
		args->encrypt = true;
		return 0;
	}
	switch (id) {
	case 'o':
		args->output = value;
		return 0;
	case OPTION_AS:
		args->as = value;
		return parse_name(value, err);
	case 'R':
		args->leave_running = true;
		return 0;
	case OPTION_DISKS:
		args->disks = value;
		if (strcmp(value, "inside") != 0 && strcmp(value, "outside") != 0)
			return err_set(err, ERR_USAGE, "--disks %s: it is inside or outside",
				       value);
		return 0;
	case OPTION_EVERY:
		args->every_off = strcmp(value, "off") == 0;
		return args->every_off ? 0 : parse_duration(value, "--every", 1, &args->every, err);
	case OPTION_KEEP:
		return parse_number(value, "--keep", 1, KEEP_MAX, &args->keep, err);
	case 'd':
		args->detach = true;
		return 0;
	case OPTION_PARENT:
		args->parent = value;
		return 0;
	case OPTION_FULL:
		args->full = true;
		return 0;
	case OPTION_FORCE:
		args->force = true;
		return 0;
	case OPTION_TRIM:
		args->trim = true;
		return 0;
	case OPTION_ENCRYPT:
		args->encrypt = true;
		return 0;
	case OPTION_DECRYPT:
		args->decrypt = true;
		return 0;
	case OPTION_JSON:
		args->json = true;
		return 0;
	default:
		return option_unhandled(id, err);
	}
}

/* --every and what goes with it. */
static int check_every(struct save_args *args, struct err *err)
{
	if (args->every == 0 && !args->every_off)
		return args->keep == 0 && !args->detach
			       ? 0
			       : err_set(err, ERR_USAGE, "--keep and --detach need --every");
	if (args->every_off && (args->keep != 0 || args->detach || args->output != NULL))
		return err_set(err, ERR_USAGE, "--every off ends one, and has no other options");
	if (args->parent != NULL || args->full || args->every > INT32_MAX)
		return err_set(
			err, ERR_USAGE,
			"--every chooses what each file stands on: not --parent, not --full");
	if (args->output != NULL && output_is_stream(args->output))
		return err_set(err, ERR_USAGE, "--every writes files: not -o -");
	args->leave_running = true;
	if (args->keep == 0)
		args->keep = KEEP_DEFAULT;
	return 0;
}

static int cmd_save_parse(struct options *opts, struct save_args *args, struct err *err)
{
	int id;

	packing_args_init(&args->packing);
	while ((id = options_next(opts, err)) != 0) {
		int ret = id < 0 ? id : cmd_save_option(args, id, opts->value, err);

		if (ret < 0)
			return ret;
	}
	if (args->encrypt && args->decrypt)
		return err_set(err, ERR_USAGE, "--decrypt and a key exclude each other");
	if (args->encrypt && args->packing.flat)
		return err_set(err, ERR_USAGE, "what is encrypted is packed: not --flat");
	if (args->full && args->parent != NULL)
		return err_set(err, ERR_USAGE, "--full and --parent exclude each other");
	id = check_every(args, err);
	if (id < 0)
		return id;
	return options_one_operand(opts, "NAME", &args->name, err);
}

/* The machine's process has another working directory. */
static int choose_path(struct save_args *args, struct path *path, struct err *err)
{
	int ret;

	if (args->output != NULL) {
		args->stream = output_is_stream(args->output);
		/* It may be carried anywhere, and is to be complete there. */
		args->full |= args->parent == NULL && args->series == NULL;
		ret = parse_output(args->output, err);
		if (ret < 0 || args->stream)
			return ret;
		ret = key_args_spared(&args->keys, args->output, err);
		return ret < 0 ? ret : path_absolute(path, args->output, err);
	}
	ret = path_store(path, args->name, err);
	return ret < 0 ? ret : path_make_parents(path, err);
}

/* Beside the appliance when that went to standard output. */
static void print_saved(const struct save_args *args, json_t *reply)
{
	const json_t *parent = json_object_get(reply, "parent");
	FILE *out = args->stream ? stderr : stdout;
	char since[PATH_MAX + 64] = "";

	if (args->json) {
		json_out_to(out, json_pack("{s:O*,s:O,s:O,s:O,s:O,s:O*,s:O*}", "file",
					   json_object_get(reply, "path"), "bytes",
					   json_object_get(reply, "bytes"), "seconds",
					   json_object_get(reply, "seconds"), "encrypted",
					   json_object_get(reply, "encrypted"), "increment",
					   json_object_get(reply, "increment"), "parent",
					   json_object_get(parent, "digest"), "parent-file",
					   json_object_get(parent, "file")));
		return;
	}
	if (parent != NULL)
		snprintf(since, sizeof(since), " that changed since %s, which it needs",
			 protocol_text(parent, "file"));
	print_line(out, "%s: %.1f MiB%s, paused for %.3f s",
		   args->stream ? args->name : protocol_text(reply, "path"),
		   (double)json_integer_value(json_object_get(reply, "bytes")) / 1048576.0, since,
		   json_real_value(json_object_get(reply, "seconds")));
}

/* A key that is given is the machine's from now on; one that it has will do. */
static int choose_key(struct client *client, const struct save_args *args, struct err *err)
{
	json_t *status;
	bool has;
	int ret;

	if (!args->encrypt)
		return 0;
	ret = client_do(client, "status", CLIENT_FOREVER, &status, err);
	if (ret < 0)
		return ret;
	has = json_is_true(json_object_get(status, "encrypted"));
	json_decref(status);
	return has && !key_args_given(&args->keys) ? 0 : keys_to_machine(&args->keys, client, err);
}

/* The parent that a save is relative to if it can: what the machine came from or was last saved to,
 * if that is in the store, or among the moments of --every. */
static int find_base(struct client *client, const struct series *series, struct path *base,
		     struct err *err)
{
	bool has;
	json_t *reply;
	int ret = client_do(client, "inspect", CLIENT_FOREVER, &reply, err);

	if (ret < 0)
		return ret;
	snprintf(base->text, sizeof(base->text), "%s",
		 protocol_text(json_object_get(reply, "base"), "file"));
	json_decref(reply);
	has = series != NULL ? series_has(series, base->text) : store_has(base->text);
	if (!has || access(base->text, F_OK) < 0)
		base->text[0] = '\0';
	return 0;
}

/* A file, what was saved under a name, or an image. Another folder is found by no increment. */
static int find_parent(const char *text, struct path *parent, struct err *err)
{
	struct target target;
	struct stat st;
	int ret = target_find_file(&target, text, err);

	if (ret < 0)
		return ret;
	if (container_folder(target.file) != NULL ||
	    (target.kind != TARGET_IMAGE && stat(target.file, &st) == 0 && S_ISDIR(st.st_mode)))
		return err_set(err, ERR_USAGE,
			       "%s is a folder, where no parent is looked for: torpor convert "
			       "makes a file of it, which may be the parent",
			       text);
	return path_absolute(parent, target.file, err);
}

/* What the machine cannot know: it may reach no folder but its own. */
static int look_at_files(struct client *client, const struct save_args *args,
			 const struct path *target, json_t **found, struct err *err)
{
	struct save_look look = {0};
	struct path parent = {0};
	const char *replaced = target->text;
	int ret = 0;

	*found = NULL;
	/* Of --every that is the name that stays. */
	if (args->series != NULL)
		replaced = series_newest_is_ours(args->series) ? NULL : args->series->newest.text;
	if (!args->stream && replaced != NULL && store_has(replaced) && access(replaced, F_OK) == 0)
		look.target = replaced;
	if (args->parent != NULL)
		ret = find_parent(args->parent, &parent, err);
	else if (!args->full && !args->stream)
		ret = find_base(client, args->series, &parent, err);
	if (ret < 0)
		return ret;
	if (parent.text[0] != '\0')
		look.parent = parent.text;
	if (look.target == NULL && look.parent == NULL)
		return 0;
	ret = save_look(&look, found, err);
	/* A chain of --every that is long enough is followed by a full file, with which the next one begins. */
	if (ret == 0 && args->series != NULL &&
	    json_array_size(json_object_get(*found, "parents")) >= args->keep) {
		json_object_del(*found, "parents");
		return 0;
	}
	if (ret == 0 || args->parent != NULL || look.parent == NULL)
		return ret;
	/* The save is a full one then. */
	look.parent = NULL;
	return look.target != NULL ? save_look(&look, found, err) : 0;
}

/* The machine may open no file in a folder, so it gets each of them. */
static int give_members(struct client *client, int folder, const char *path, const json_t *names,
			struct err *err)
{
	for (size_t i = 0; i < json_array_size(names); i++) {
		const char *name = json_string_value(json_array_get(names, i));
		cleanup_fd int fd = openat(
			folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
		int ret;

		if (fd < 0)
			return err_sys(err, errno, "%s/%s", path, name);
		ret = client_call_with(client, json_pack("{s:s,s:s}", "do", "member", "name", name),
				       fd, CLIENT_FOREVER, NULL, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int give_parent(struct client *client, int index, const char *path, const json_t *members,
		       struct err *err)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	bool folder = json_array_size(members) > 0;
	json_t *request = json_pack("{s:s,s:i,s:s,s:b}", "do", "parent", "index", index, "path",
				    path, "folder", (int)folder);
	int ret;

	if (fd < 0) {
		json_decref(request);
		return err_sys(err, errno, "%s", path);
	}
	if (!folder)
		return client_call_with(client, request, fd, CLIENT_FOREVER, NULL, err);
	ret = client_call(client, request, CLIENT_FOREVER, NULL, err);
	return ret < 0 ? ret : give_members(client, fd, path, members, err);
}

static int give_parents(struct client *client, const json_t *found, struct err *err)
{
	const json_t *paths = json_object_get(found, "parents");
	const json_t *members = json_object_get(found, "members");

	for (size_t i = 0; i < json_array_size(paths); i++) {
		int ret = give_parent(client, (int)i, json_string_value(json_array_get(paths, i)),
				      json_array_get(members, i), err);

		if (ret < 0)
			return ret;
	}
	return 0;
}

/* The machine has written the file, and waits. One of an earlier version has also named it. A
 * machine that is killed until then is not saved. */
static int publish(struct client *client, struct tempfile *file, const json_t *reply,
		   struct err *err)
{
	struct stat st;
	bool settled;
	int ret;

	if (!json_is_true(json_object_get(reply, "publish")))
		return 0;
	settled = fstat(file->fd, &st) == 0 && verified_settle(&st);
	ret = tempfile_flush(file, err);
	if (ret == 0 && client_hung_up(client))
		return err_set(err, ERR_FAILED,
			       "%s is as it was: machine %s ended before it was saved",
			       file->target, client->name);
	if (ret == 0)
		ret = tempfile_publish(file, &st, err);
	if (ret < 0) {
		(void)client_call(client, json_pack("{s:s,s:b}", "do", "published", "done", 0),
				  CLIENT_FOREVER, NULL, NULL);
		return ret;
	}
	if (settled)
		verified_remember(&st);
	ret = client_call(client, json_pack("{s:s,s:b}", "do", "published", "done", 1),
			  CLIENT_FOREVER, NULL, err);
	if (ret < 0 && client_hung_up(client)) {
		print_line(stderr,
			   "torpor: save: %s is in place; machine %s was killed at that moment",
			   file->target, client->name);
		return 0;
	}
	return ret;
}

/* Of a disk that stays outside and is not written to, a resume need not read all. */
static void remember_disk(const json_t *disk)
{
	json_int_t device, inode, size, mtime, mtime_ns, ctime, ctime_ns;
	struct verified_set set;
	const char *digest;
	struct stat st = {0};

	if (json_unpack((json_t *)disk, "{s:s,s:I,s:I,s:I,s:[I,I],s:[I,I]}", "digest", &digest,
			"device", &device, "inode", &inode, "size", &size, "mtime", &mtime,
			&mtime_ns, "ctime", &ctime, &ctime_ns) < 0)
		return;
	st.st_dev = (dev_t)device;
	st.st_ino = (ino_t)inode;
	st.st_size = size;
	st.st_mtim = (struct timespec){.tv_sec = mtime, .tv_nsec = mtime_ns};
	st.st_ctim = (struct timespec){.tv_sec = ctime, .tv_nsec = ctime_ns};
	verified_set_init(&set, digest);
	verified_set_add(&set, &st, digest);
	verified_set_remember(&set);
}

static void remember_disks(const json_t *outside)
{
	const json_t *disk;
	size_t i;

	json_array_foreach(outside, i, disk) remember_disk(disk);
}

static int call_save(struct client *client, json_t *request, int fd, json_t **reply,
		     struct err *err)
{
	int ret = save_meter_begin("save", "the machine goes on as it was", client, err);

	if (ret < 0) {
		json_decref(request);
		return ret;
	}
	ret = client_call_with(client, request, fd, CLIENT_FOREVER, reply, err);
	save_meter_note(*reply);
	meter_end(ret);
	return ret;
}

static int save_request(struct client *client, const struct save_args *args,
			const struct path *path, struct err *err)
{
	__attribute__((cleanup(tempfile_close))) struct tempfile file = {.fd = -1, .folder = -1};
	cleanup_json json_t *found = NULL, *reply = NULL;
	json_t *request;
	int ret = look_at_files(client, args, path, &found, err);

	if (ret < 0)
		return ret;
	ret = give_parents(client, found, err);
	if (ret < 0)
		return ret;
	request = json_pack(
		"{s:s,s:s*,s:s*,s:s*,s:b,s:s*,s:s*,s:s*,s:b,s:b,s:b,s:b,s:b,s:b,s:i}", "do", "save",
		"as", args->as, "disks", args->disks, "path", args->stream ? NULL : path->text,
		"stream", (int)args->stream, "parent",
		args->parent != NULL
			? json_string_value(json_array_get(json_object_get(found, "parents"), 0))
			: NULL,
		"replaced", json_string_value(json_object_get(found, "replaced")), "dependent",
		json_string_value(json_object_get(found, "dependent")), "leave-running",
		(int)args->leave_running, "flat", (int)args->packing.flat, "full", (int)args->full,
		"force", (int)args->force, "encrypt", (int)args->encrypt, "decrypt",
		(int)args->decrypt, "level", args->packing.level);
	if (request == NULL)
		return err_set(err, ERR_USAGE, "%s: the file's name is not UTF-8", path->text);
	ret = args->stream ? 0 : tempfile_open(&file, path->text, err);
	if (ret < 0) {
		json_decref(request);
		return ret;
	}
	ret = call_save(client, request, args->stream ? STDOUT_FILENO : file.fd, &reply, err);
	if (ret == -EPIPE && !args->stream)
		return err_context(err, ret, "%s is as it was", path->text);
	if (ret < 0)
		return ret;
	ret = args->stream ? 0 : publish(client, &file, reply, err);
	if (ret < 0)
		return ret;
	remember_disks(json_object_get(reply, "outside"));
	print_saved(args, reply);
	if (!args->json && !json_is_true(json_object_get(reply, "encrypted")))
		notice_memory();
	/* Its name is free again when we return. */
	return args->leave_running ? 0 : client_wait(client, CLIENT_FOREVER, err);
}

static int save_machine(struct client *client, struct save_args *args, struct err *err)
{
	struct path path = {0};
	int ret = choose_path(args, &path, err);

	if (ret < 0)
		return ret;
	ret = choose_key(client, args, err);
	if (ret < 0)
		return ret;
	if (args->trim) {
		ret = trim(client, err);
		if (ret < 0)
			return ret;
	}
	return save_request(client, args, &path, err);
}

static int save_once(struct save_args *args, struct err *err)
{
	struct client client;
	int ret = client_open(&client, args->name, err);

	if (ret < 0)
		return ret;
	ret = save_machine(&client, args, err);
	client_close(&client);
	return ret;
}

static int save_moment(void *opaque, const struct series *series, const char *path, struct err *err)
{
	struct save_args *args = opaque;
	int ret;

	args->series = series;
	args->output = path;
	ret = save_once(args, err);
	args->series = NULL;
	/* The machine has it from then on. */
	if (ret >= 0)
		args->keys = (struct key_args){0};
	return ret;
}

static int save_again_and_again(struct save_args *args, struct err *err)
{
	struct save_every every = {
		.name = args->name,
		.seconds = args->every,
		.keep = (unsigned)args->keep,
		.detach = args->detach,
		.save = save_moment,
		.opaque = args,
	};
	struct path newest;
	int ret = args->output != NULL ? path_absolute(&newest, args->output, err)
				       : path_store(&newest, args->name, err);

	if (ret < 0)
		return ret;
	if (args->output == NULL) {
		ret = path_make_parents(&newest, err);
		if (ret < 0)
			return ret;
	}
	every.newest = newest.text;
	return save_every(&every, err);
}

static int cmd_save_run(struct options *opts, struct err *err)
{
	struct save_args args = {0};
	int ret = cmd_save_parse(opts, &args, err);

	if (ret < 0)
		return ret;
	if (args.every_off)
		return save_every_stop(args.name, err);
	ret = await_arrival(args.name, "save", err);
	if (ret < 0)
		return ret;
	return args.every > 0 ? save_again_and_again(&args, err) : save_once(&args, err);
}

const struct command cmd_save = {
	.name = "save",
	.args = "NAME",
	.summary = "write a running machine into one file, a live appliance, and end it",
	.detail =
		"With -o the file is complete unless --parent is given. -o - sends it down a pipe, "
		"and messages go to\n"
		"standard error; the machine ends once the last byte is written, whatever becomes "
		"of it: -R keeps it.\n"
		"A command that is ended before the file is in place cancels the save: the machine "
		"goes on as it was.\n"
		"\n"
		"With --every the machine goes on, and each file has its time in its name; the "
		"name "
		"without it always leads to the newest. Of what is older than the last --keep "
		"moments, "
		"that goes which none of them stands on. The command ends with the machine.",
	.options = options,
	.run = cmd_save_run,
};
