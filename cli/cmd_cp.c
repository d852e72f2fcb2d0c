/* torpor cp: files and folders between this machine and a guest, as tar streams: the guest's own
 * tar at the other end of a command (guest_command.h). */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/num.h"
#include "base/printable.h"
#include "cli/command.h"
#include "cli/guest_command.h"
#include "cli/patience.h"
#include "cli/tar_tree.h"
#include "host/parse.h"
#include "meter/meter.h"

#define CP_SAID_MAX 400u

/* A path in the guest of a machine, or here. */
struct place {
	char machine[64]; /* "": here */
	const char *path; /* "-": a tar stream */
};

static const struct option_spec options[] = {OPTION_PROGRESS_SPEC, {0}};

struct copy {
	struct guest_command command;
	char said[CP_SAID_MAX + 1]; /* by the guest's tar, of its errors */
	size_t said_len;
	struct patience patience; /* until the command has reached the guest */
	bool is_patient;
};

/* NAME:PATH is in a guest, unless a slash comes before the colon. */
static int parse_place(const char *text, struct place *place, struct err *err)
{
	const char *colon = strchr(text, ':'), *slash = strchr(text, '/');
	int ret;

	*place = (struct place){.path = text};
	if (colon == NULL || (slash != NULL && slash < colon))
		return 0;
	if (snprintf(place->machine, sizeof(place->machine), "%.*s", (int)(colon - text), text) >=
	    (int)sizeof(place->machine))
		return err_set(err, ERR_USAGE, "the name of the machine in '%s' is too long", text);
	ret = parse_name(place->machine, err);
	if (ret < 0)
		return err_context(err, ret, "%s (write ./%s for a file)", text, text);
	place->path = colon + 1;
	return place->path[0] != '\0'
		       ? 0
		       : err_set(err, ERR_USAGE, "'%s' names no file in the guest", text);
}

/* A folder and a name in it; "." where the contents of a folder are meant. */
struct split {
	char folder[PATH_MAX];
	char name[NAME_MAX + 1];
};

static int split_path(const char *path, struct split *split, struct err *err)
{
	size_t len = strlen(path), start;

	while (len > 1 && path[len - 1] == '/')
		len--;
	start = len;
	while (start > 0 && path[start - 1] != '/')
		start--;
	if (len >= sizeof(split->folder) || len - start >= sizeof(split->name))
		return err_set(err, ERR_USAGE, "the name '%.100s...' is too long", path);
	snprintf(split->name, sizeof(split->name), "%.*s", (int)(len - start), path + start);
	snprintf(split->folder, sizeof(split->folder), "%.*s", (int)start, path);
	if (strcmp(split->name, "..") == 0 || strcmp(split->name, "") == 0 ||
	    strcmp(split->name, "/") == 0) {
		snprintf(split->folder, sizeof(split->folder), "%.*s", (int)len, path);
		strcpy(split->name, ".");
	}
	if (split->folder[0] == '\0')
		strcpy(split->folder, ".");
	return 0;
}

static void copy_end_patience(struct copy *copy)
{
	if (copy->is_patient)
		patience_end(&copy->patience);
	copy->is_patient = false;
}

/* Why the guest's end of it was not begun. */
static int copy_not_begun(const struct copy *copy, const struct err *why, struct err *err)
{
	return copy->command.how == EXEC_NO_COMMAND
		       ? err_set(err, ERR_FAILED, "%s: cp needs a shell and tar there", why->text)
		       : err_set(err, ERR_FAILED, "%s", why->text);
}

static int copy_start(struct copy *copy, const char *machine, uint32_t flags, const char *script,
		      const char *folder, const char *name, struct err *err)
{
	char *argv[] = {(char[]){"/bin/sh"},
			(char[]){"-c"},
			(char *)script,
			(char[]){"torpor"},
			(char *)folder,
			(char *)name,
			NULL};
	char *env[] = {NULL};
	const struct guest_call call = {
		.flags = flags, .folder = "/", .user = "", .argv = argv, .env = env};
	int ret;

	copy->said_len = 0;
	copy->is_patient = isatty(STDERR_FILENO);
	if (copy->is_patient)
		patience_begin(&copy->patience, "cp", "the guest agent");
	ret = guest_command_start(&copy->command, machine, &call, err);
	if (ret < 0)
		copy_end_patience(copy);
	return ret;
}

static void copy_close(struct copy *copy)
{
	copy_end_patience(copy);
	guest_command_close(&copy->command);
}

/* Returns the bytes of output, 0 when it has ended or, if not `wait`, there is nothing. */
static ssize_t copy_next(struct copy *copy, bool wait, const uint8_t **data, struct err *err)
{
	struct exec_frame f;
	int ret;

	while ((ret = guest_command_frame(&copy->command, wait, &f, data, err)) > 0) {
		size_t room = CP_SAID_MAX - copy->said_len;

		copy_end_patience(copy);
		if (f.type == EXEC_OUTPUT) {
			progress_add(meter_progress(), f.len);
			return f.len;
		}
		if (f.type == EXEC_OUTPUT_ERR) {
			memcpy(copy->said + copy->said_len, *data, u64_min(f.len, room));
			copy->said_len += u64_min(f.len, room);
		}
		if (f.type == EXEC_CREDIT)
			break;
	}
	return ret < 0 ? ret : 0;
}

static ssize_t copy_read(void *opaque, const uint8_t **data, struct err *err)
{
	return copy_next(opaque, true, data, err);
}

/* How it ended: 0, or the error with tar's own words. */
static int copy_finish(struct copy *copy, struct err *err)
{
	const uint8_t *data;
	struct err why = {0};
	int status;

	while (!copy->command.ended) {
		ssize_t got = copy_next(copy, true, &data, err);

		if (got < 0)
			return (int)got;
	}
	status = guest_command_status(&copy->command, "/bin/sh", &why);
	if (status == 0)
		return 0;
	copy->said[copy->said_len] = '\0';
	while (copy->said_len > 0 && copy->said[copy->said_len - 1] == '\n')
		copy->said[--copy->said_len] = '\0';
	if (why.kind != ERR_NONE)
		return copy_not_begun(copy, &why, err);
	if (status == 127)
		return err_set(err, ERR_FAILED, "the guest has no tar: %s", copy->said);
	return err_set(err, ERR_FAILED, "tar in the guest: exit status %d: %s", status, copy->said);
}

static int copy_write(void *opaque, const uint8_t *data, size_t len, struct err *err)
{
	struct copy *copy = opaque;
	const uint8_t *dropped;

	while (len > 0) {
		uint32_t part =
			(uint32_t)u64_min(u64_min(len, copy->command.input_left), EXEC_FRAME_MAX);

		if (copy->command.ended)
			return copy_finish(copy, err) < 0
				       ? -EINVAL
				       : err_set(err, ERR_FAILED,
						 "tar in the guest ended before all was sent");
		if (part > 0)
			guest_command_send(&copy->command, EXEC_INPUT, data, part);
		progress_add(meter_progress(), part);
		data += part;
		len -= part;
		if (len > 0) {
			ssize_t got = copy_next(copy, copy->command.input_left == 0, &dropped, err);

			if (got < 0)
				return (int)got;
		}
	}
	return 0;
}

/* --- out of the guest --- */

static int copy_to_stdout(struct copy *copy, struct err *err)
{
	const uint8_t *data;

	while (!copy->command.ended) {
		ssize_t got = copy_next(copy, true, &data, err);
		int ret;

		if (got < 0)
			return (int)got;
		ret = io_write(STDOUT_FILENO, data, (uint64_t)got);
		if (ret < 0)
			return err_sys(err, -ret, "write to standard output");
	}
	return copy_finish(copy, err);
}

/* Go to the folder that is written in; the name there is in `to`. */
static int enter_target(const char *path, const char *from, char *to, size_t size, struct err *err)
{
	struct split split;
	struct stat st;
	bool folder = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
	bool contents = strcmp(from, ".") == 0;
	int ret;

	if (!folder && contents) {
		if (mkdir(path, 0777) < 0)
			return err_sys(err, errno, "make %s", path);
		folder = true;
	}
	ret = split_path(path, &split, err);
	if (ret < 0)
		return ret;
	if (!folder && path[strlen(path) - 1] == '/')
		return err_sys(err, ENOENT, "%s", path);
	snprintf(to, size, "%s", folder ? from : split.name);
	if (chdir(folder ? path : split.folder) < 0)
		return err_sys(err, errno, "enter %s", folder ? path : split.folder);
	return 0;
}

static int copy_from_guest(const struct place *source, const char *target, struct err *err)
{
	static const char script[] = "cd -- \"$1\" && exec tar -cf - -- \"$2\"";
	char to[NAME_MAX + 1];
	struct copy copy;
	struct split split;
	struct err why;
	unsigned entries;
	int ret = split_path(source->path, &split, err);

	if (ret < 0)
		return ret;
	if (strcmp(target, "-") != 0) {
		ret = enter_target(target, split.name, to, sizeof(to), err);
		if (ret < 0)
			return ret;
	} else if (isatty(STDOUT_FILENO)) {
		return err_set(err, ERR_USAGE, "a tar stream is not written to a terminal");
	}
	ret = copy_start(&copy, source->machine, 0, script, split.folder, split.name, err);
	if (ret < 0)
		return ret;
	if (strcmp(target, "-") == 0) {
		ret = copy_to_stdout(&copy, err);
	} else {
		ret = tar_unpack(copy_read, &copy, split.name, to, &entries, err);
		/* A tar that fails may have written nothing, or half of it: it says why. */
		if ((ret == 0 || copy.command.ended) && copy_finish(&copy, &why) < 0)
			ret = err_copy(err, -EINVAL, &why);
		if (ret == 0 && entries == 0)
			ret = err_set(err, ERR_FAILED, "the guest sends nothing");
	}
	copy_close(&copy);
	return ret;
}

/* --- into the guest --- */

static int is_guest_folder(const struct place *target, bool *folder, struct err *err)
{
	struct copy copy;
	struct err why = {0};
	const uint8_t *data;
	ssize_t got = 0;
	int ret, status;

	ret = copy_start(&copy, target->machine, 0, "test -d \"$1\"", target->path, "", err);
	if (ret < 0)
		return ret;
	while (!copy.command.ended && got >= 0)
		got = copy_next(&copy, true, &data, err);
	copy_close(&copy);
	if (got < 0)
		return (int)got;
	status = guest_command_status(&copy.command, "/bin/sh", &why);
	if (why.kind != ERR_NONE)
		return copy_not_begun(&copy, &why, err);
	*folder = status == 0;
	return 0;
}

static int copy_from_stdin(struct copy *copy, struct err *err)
{
	uint8_t data[EXEC_FRAME_MAX];

	for (;;) {
		ssize_t got = read(STDIN_FILENO, data, sizeof(data));
		int ret;

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_sys(err, errno, "read standard input");
		if (got == 0)
			return 0;
		ret = copy_write(copy, data, (size_t)got, err);
		if (ret < 0)
			return ret;
	}
}

/* Where it goes: the folder, and the name in it. */
static int choose_target(const char *source, const struct place *target, struct split *to,
			 struct err *err)
{
	struct split from;
	bool folder;
	int ret = split_path(source, &from, err);

	if (ret < 0)
		return ret;
	ret = split_path(target->path, to, err);
	if (ret < 0)
		return ret;
	folder = strcmp(source, "-") == 0 || strcmp(from.name, ".") == 0;
	if (!folder) {
		ret = is_guest_folder(target, &folder, err);
		if (ret < 0)
			return ret;
	}
	if (!folder)
		return 0;
	snprintf(to->folder, sizeof(to->folder), "%s", target->path);
	strcpy(to->name, from.name);
	return 0;
}

static int copy_to_guest(const char *source, const struct place *target, struct err *err)
{
	/* The contents of a folder may make a new one. */
	static const char script[] = "[ \"$2\" != . ] || [ -d \"$1\" ] || mkdir -- \"$1\" || exit; "
				     "cd -- \"$1\" && exec tar -xpf -";
	size_t len = strlen(source);
	char clean[PATH_MAX];
	struct split to;
	struct stat st;
	struct copy copy;
	int ret;

	while (len > 1 && source[len - 1] == '/')
		len--;
	if (snprintf(clean, sizeof(clean), "%.*s", (int)len, source) >= (int)sizeof(clean))
		return err_set(err, ERR_USAGE, "the name '%.100s...' is too long", source);
	if (strcmp(source, "-") != 0 && lstat(clean, &st) < 0)
		return err_sys(err, errno, "%s", source);
	ret = choose_target(source, target, &to, err);
	if (ret < 0)
		return ret;
	ret = copy_start(&copy, target->machine, EXEC_FLAG_INPUT, script, to.folder, to.name, err);
	if (ret < 0)
		return ret;
	/* Of a folder only tar would know. */
	if (strcmp(source, "-") != 0 && S_ISREG(st.st_mode))
		progress_expect(meter_progress(), (uint64_t)st.st_size);
	if (strcmp(source, "-") == 0)
		ret = copy_from_stdin(&copy, err);
	else
		ret = tar_pack(clean, to.name, copy_write, &copy, err);
	if (ret == 0) {
		guest_command_send(&copy.command, EXEC_INPUT_END, NULL, 0);
		ret = copy_finish(&copy, err);
	}
	copy_close(&copy);
	return ret;
}

static int cmd_cp_run(struct options *opts, struct err *err)
{
	static const struct meter_params shown = {.verb = "cp",
						  .cancelled = "what was copied so far stays"};
	const char *source, *target;
	struct place from, to;
	int ret = options_next(opts, err);

	if (ret < 0)
		return ret;
	source = options_operand(opts);
	if (source == NULL)
		return options_missing(opts, "SOURCE", err);
	target = options_operand(opts);
	if (target == NULL)
		return options_missing(opts, "TARGET", err);
	if (opts->operand < opts->argc)
		return err_set(
			err, ERR_USAGE,
			"one SOURCE is copied at a time: several in a folder, or by tar and -");
	ret = parse_place(source, &from, err);
	if (ret < 0)
		return ret;
	ret = parse_place(target, &to, err);
	if (ret < 0)
		return ret;
	if ((from.machine[0] != '\0') == (to.machine[0] != '\0') || source[0] == '\0' ||
	    target[0] == '\0')
		return err_set(
			err, ERR_USAGE,
			"one of the two must be NAME:PATH, in a guest, the other a file here");
	ret = meter_begin(&shown, err);
	if (ret < 0)
		return ret;
	meter_run();
	ret = from.machine[0] != '\0' ? copy_from_guest(&from, target, err)
				      : copy_to_guest(source, &to, err);
	meter_end(ret);
	return ret;
}

const struct command cmd_cp = {
	.name = "cp",
	.args = "NAME:PATH TARGET | SOURCE NAME:PATH",
	.summary = "copy files and folders out of the guest of a running machine, or into it",
	.detail = "Into a folder that is there the source goes under its own name; else the target "
		  "is the new name.\n"
		  "A source that ends with /. is what is in that folder. - is a tar stream on "
		  "standard input or output.\n"
		  "\n"
		  "Modes and times are kept. In the guest the files are root's, here they are "
		  "yours. Devices, pipes\n"
		  "and the bits that change a user do not come out of a guest. The guest needs "
		  "tar, and its agent\n"
		  "as for torpor exec.",
	.options = options,
	.run = cmd_cp_run,
};
