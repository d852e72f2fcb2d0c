/* torpor logs: what a machine's guest printed. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/num.h"
#include "cli/command.h"
#include "host/claim.h"
#include "host/parse.h"
#include "host/paths.h"
#include "instance/record.h"

#define POLL_NS	    100000000L
#define OPTION_HOST (OPTION_LONG_ONLY + 1)
#define OPTION_TAIL (OPTION_LONG_ONLY + 2)

static const struct option_spec options[] = {
	{'f', "follow", NULL, "go on until the machine is over"},
	{OPTION_HOST, "host", NULL, "torpor's own messages instead of the guest's output"},
	{OPTION_TAIL, "tail", "N", "begin with the last N lines of what is there"},
	{0},
};

struct logs_args {
	const char *name;
	const char *file;
	bool follow;
	uint64_t tail;		    /* lines */
	const uint64_t *tail_given; /* of them; NULL: all */
};

static int cmd_logs_parse(struct options *opts, struct logs_args *args, struct err *err)
{
	int id, ret;

	args->file = "console.log";
	while ((id = options_next(opts, err)) > 0) {
		assert(id == 'f' || id == OPTION_HOST || id == OPTION_TAIL);
		if (id == 'f') {
			args->follow = true;
		} else if (id == OPTION_TAIL) {
			args->tail_given = &args->tail;
			ret = parse_number(opts->value, "--tail", 0, UINT32_MAX, &args->tail, err);
			if (ret < 0)
				return ret;
		} else {
			args->file = "torpor.log";
		}
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

/* Where the last lines begin that are there; one without its end counts. Or an error. */
static int64_t logs_find_tail(int fd, uint64_t lines, struct err *err)
{
	const off_t end = lseek(fd, 0, SEEK_END);
	char data[16384];

	for (off_t at = end; at > 0 && lines > 0;) {
		const size_t len = (size_t)u64_min(sizeof(data), (uint64_t)at);
		int ret = io_pread(fd, data, len, (uint64_t)at - len);

		if (ret < 0)
			return err_sys(err, -ret, "read the log");
		for (size_t i = len; i > 0; i--, at--) {
			/* The newline at the very end ends the last line, and begins none. */
			if (data[i - 1] == '\n' && at != end && --lines == 0)
				return at;
		}
	}
	return lines > 0 ? 0 : end;
}

static int logs_seek_tail(int fd, uint64_t lines, struct err *err)
{
	const int64_t at = logs_find_tail(fd, lines, err);

	if (at < 0)
		return (int)at;
	return lseek(fd, at, SEEK_SET) < 0 ? err_sys(err, errno, "read the log") : 0;
}

/* *fd stays -1 where there is no log yet. */
static int logs_open(const char *path, const uint64_t *tail, int *fd, struct err *err)
{
	*fd = open(path, O_RDONLY | O_CLOEXEC);
	if (*fd < 0)
		return errno == ENOENT ? 0 : err_sys(err, errno, "%s", path);
	return tail == NULL ? 0 : logs_seek_tail(*fd, *tail, err);
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
	const uint64_t *tail = args->tail_given; /* of the first file */
	bool over = false;
	int ret;

	/* Once more after the end, for the last words. */
	while (!over) {
		over = !claim_is_held(args->name);
		ret = fd < 0 ? logs_open(path->text, tail, &fd, err) : 0;
		if (ret == 0 && fd >= 0)
			ret = logs_print_rest(fd, err);
		if (ret < 0)
			return ret;
		tail = NULL;
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
	ret = logs_open(path.text, args.tail_given, &fd, err);
	if (ret < 0 || fd < 0)
		return ret;
	return logs_print_rest(fd, err);
}

const struct command cmd_logs = {
	.name = "logs",
	.args = "NAME",
	.summary = "print what a machine's guest has written to its consoles",
	.options = options,
	.run = cmd_logs_run,
};
