/* torpor logs: what a machine's guest printed. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log_file.h"
#include "base/num.h"
#include "cli/command.h"
#include "cli/print_line.h"
#include "host/claim.h"
#include "host/parse.h"
#include "host/paths.h"
#include "instance/record.h"

#define POLL_NS	     100000000L
#define OPTION_HOST  (OPTION_LONG_ONLY + 1)
#define OPTION_TAIL  (OPTION_LONG_ONLY + 2)
#define OPTION_SINCE (OPTION_LONG_ONLY + 3)

static const struct option_spec options[] = {
	{'f', "follow", NULL, "go on until the machine is over"},
	{OPTION_HOST, "host", NULL, "torpor's own messages instead of the guest's output"},
	{OPTION_TAIL, "tail", "N", "begin with the last N lines of what is there"},
	{OPTION_SINCE, "since", "TIME", "begin with the first line that came then or later"},
	{'t', "timestamps", NULL, "the time in front of each line, as far as it is known"},
	{0},
};

struct logs_args {
	const char *name;
	const char *file;
	bool follow;
	bool host;
	bool timestamps;
	uint64_t since;		    /* ns since 1970; 0: not said */
	uint64_t tail;		    /* lines */
	const uint64_t *tail_given; /* of them; NULL: all */
};

static int cmd_logs_option(struct logs_args *args, int id, const char *value, struct err *err)
{
	switch (id) {
	case 'f':
		args->follow = true;
		return 0;
	case 't':
		args->timestamps = true;
		return 0;
	case OPTION_TAIL:
		args->tail_given = &args->tail;
		return parse_number(value, "--tail", 0, UINT32_MAX, &args->tail, err);
	case OPTION_SINCE:
		return parse_time_ago(value, "--since", clock_realtime_ns(), &args->since, err);
	case OPTION_HOST:
		args->host = true;
		args->file = "torpor.log";
		return 0;
	default:
		return option_unhandled(id, err);
	}
}

static int cmd_logs_parse(struct options *opts, struct logs_args *args, struct err *err)
{
	int id, ret;

	args->file = "console.log";
	while ((id = options_next(opts, err)) > 0) {
		ret = cmd_logs_option(args, id, opts->value, err);
		if (ret < 0)
			return ret;
	}
	if (id < 0)
		return id;
	if (args->host && (args->timestamps || args->since != 0))
		return err_set(err, ERR_USAGE,
			       "--since and --timestamps are of the guest's output: torpor events "
			       "has the times of what happened");
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

/* A log that is being printed. */
struct logs_file {
	int fd;			/* -1: there is none yet */
	uint64_t at;		/* where it is read next */
	bool in_line;		/* what was printed last was no newline */
	struct log_times times; /* open with `timestamps` */
};

static void logs_close(struct logs_file *log)
{
	if (log->fd >= 0)
		close(take_fd(&log->fd));
	log_times_close(&log->times);
}

/* Where the lines begin that are wanted of what is there. A log of an earlier version has no times. */
static int logs_find_begin(struct logs_file *log, const struct logs_args *args, bool has_times,
			   struct err *err)
{
	int64_t at = 0;

	if (args->tail_given != NULL)
		at = logs_find_tail(log->fd, args->tail, err);
	if (at < 0)
		return (int)at;
	log->at = (uint64_t)at;
	if (args->since == 0)
		return 0;
	if (!has_times) {
		print_line(stderr,
			   "torpor: logs: it is not known when these lines came: all are printed");
		return 0;
	}
	log->at = u64_max(log->at, u64_min(log_times_since(&log->times, args->since),
					   (uint64_t)lseek(log->fd, 0, SEEK_END)));
	return 0;
}

/* log->fd stays -1 where there is no log yet. `first`: it may begin later. */
static int logs_open(struct logs_file *log, const char *path, const struct logs_args *args,
		     bool first, struct err *err)
{
	bool has_times;

	*log = (struct logs_file){.fd = -1, .times = {.fd = -1}};
	log->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (log->fd < 0)
		return errno == ENOENT ? 0 : err_sys(err, errno, "%s", path);
	if (!args->timestamps && args->since == 0)
		return first ? logs_find_begin(log, args, false, err) : 0;
	has_times = log_times_open(&log->times, path, log->fd);
	return first ? logs_find_begin(log, args, has_times, err) : 0;
}

static void print_time(uint64_t ns)
{
	const time_t seconds = (time_t)(ns / NS_PER_SECOND);
	char text[32];
	struct tm utc;

	if (ns == 0 || gmtime_r(&seconds, &utc) == NULL ||
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc) == 0)
		fputs("- ", stdout);
	else
		printf("%s.%03uZ ", text, (unsigned)(ns % NS_PER_SECOND / NS_PER_MS));
}

static void print_with_times(struct logs_file *log, const char *data, size_t len)
{
	while (len > 0) {
		const char *newline = memchr(data, '\n', len);
		const size_t part = newline != NULL ? (size_t)(newline - data) + 1 : len;

		if (!log->in_line)
			print_time(log_times_at(&log->times, log->at));
		fwrite(data, 1, part, stdout);
		log->in_line = newline == NULL;
		log->at += part;
		data += part;
		len -= part;
	}
}

/* Everything from where it stands to the end of the file. */
static int logs_print_rest(struct logs_file *log, bool timestamps, struct err *err)
{
	char data[16384];
	ssize_t got;

	while ((got = pread(log->fd, data, sizeof(data), (off_t)log->at)) > 0) {
		if (timestamps) {
			print_with_times(log, data, (size_t)got);
			continue;
		}
		fwrite(data, 1, (size_t)got, stdout);
		log->at += (uint64_t)got;
	}
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
	struct logs_file log = {.fd = -1, .times = {.fd = -1}};
	bool over = false, first = true;
	int ret = 0;

	/* Once more after the end, for the last words. */
	while (ret == 0 && !over) {
		over = !claim_is_held(args->name);
		if (log.fd < 0)
			ret = logs_open(&log, path->text, args, first, err);
		first = false;
		if (ret == 0 && log.fd >= 0)
			ret = logs_print_rest(&log, args->timestamps, err);
		if (ret < 0)
			break;
		if (log.fd >= 0 && log_is_replaced(log.fd, path))
			logs_close(&log);
		else if (!over)
			nanosleep(&pause, NULL);
	}
	logs_close(&log);
	return ret;
}

static int cmd_logs_run(struct options *opts, struct err *err)
{
	struct logs_args args = {0};
	struct logs_file log;
	struct path path;
	int ret = cmd_logs_parse(opts, &args, err);

	if (ret < 0)
		return ret;
	ret = path_state(&path, args.name, args.file, err);
	if (ret < 0)
		return ret;
	if (args.follow)
		return logs_follow(&args, &path, err);
	ret = logs_open(&log, path.text, &args, true, err);
	if (ret == 0 && log.fd >= 0)
		ret = logs_print_rest(&log, args.timestamps, err);
	logs_close(&log);
	return ret;
}

const struct command cmd_logs = {
	.name = "logs",
	.args = "NAME",
	.summary = "print what a machine's guest has written to its consoles",
	.options = options,
	.run = cmd_logs_run,
};
