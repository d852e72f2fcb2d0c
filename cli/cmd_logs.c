/* torpor logs: what a machine's guest printed. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "cli/command.h"
#include "host/claim.h"
#include "host/parse.h"
#include "host/paths.h"
#include "instance/record.h"

#define POLL_NS	    100000000L
#define OPTION_HOST (OPTION_LONG_ONLY + 1)

static const struct option_spec options[] = {
	{'f', "follow", NULL, "go on until the machine is over"},
	{OPTION_HOST, "host", NULL, "torpor's own messages instead of the guest's output"},
	{0},
};

struct logs_args {
	const char *name;
	const char *file;
	bool follow;
};

static int cmd_logs_parse(struct options *opts, struct logs_args *args, struct err *err)
{
	int id, ret;

	args->file = "console.log";
	while ((id = options_next(opts, err)) > 0) {
		assert(id == 'f' || id == OPTION_HOST);
		if (id == 'f')
			args->follow = true;
		else
			args->file = "torpor.log";
	}
	if (id < 0)
		return id;
	ret = options_one_operand(opts, "NAME", &args->name, err);
	if (ret < 0)
		return ret;
	ret = parse_name(args->name, err);
	if (ret < 0)
		return ret;
	if (!machine_is_known(args->name))
		return err_set(err, ERR_NOT_FOUND, "no machine is named %s", args->name);
	return 0;
}

/* Everything from where fd stands to the end of the file. */
static int logs_print_rest(int fd, struct err *err)
{
	char data[16384];
	ssize_t got;

	while ((got = read(fd, data, sizeof(data))) > 0)
		fwrite(data, 1, (size_t)got, stdout);
	if (got < 0)
		return err_sys(err, errno, "read the log");
	return fflush(stdout) == 0 ? 0 : err_sys(err, errno, "write to standard output");
}

/* The file was rotated under us (log_file.h). */
static bool log_is_replaced(int fd, const struct path *path)
{
	struct stat ours, now;

	return fstat(fd, &ours) == 0 && stat(path->text, &now) == 0 && ours.st_ino != now.st_ino;
}

static int logs_follow(const struct logs_args *args, const struct path *path, struct err *err)
{
	static const struct timespec pause = {.tv_nsec = POLL_NS};
	cleanup_fd int fd = -1;
	bool over = false;

	/* Once more after the end, for the last words. */
	while (!over) {
		over = !claim_is_held(args->name);
		if (fd < 0)
			fd = open(path->text, O_RDONLY | O_CLOEXEC);
		if (fd >= 0) {
			int ret = logs_print_rest(fd, err);

			if (ret < 0)
				return ret;
		}
		if (fd >= 0 && log_is_replaced(fd, path))
			close(take_fd(&fd));
		else if (!over)
			nanosleep(&pause, NULL);
	}
	return 0;
}

static int cmd_logs_run(struct options *opts, struct err *err)
{
	struct logs_args args = {0};
	struct path path;
	cleanup_fd int fd = -1;
	int ret = cmd_logs_parse(opts, &args, err);

	if (ret < 0)
		return ret;
	ret = path_state(&path, args.name, args.file, err);
	if (ret < 0)
		return ret;
	if (args.follow)
		return logs_follow(&args, &path, err);
	fd = open(path.text, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(err, errno, "%s", path.text);
	return logs_print_rest(fd, err);
}

const struct command cmd_logs = {
	.name = "logs",
	.args = "NAME",
	.summary = "print what a machine's guest has written to its consoles",
	.options = options,
	.run = cmd_logs_run,
};
