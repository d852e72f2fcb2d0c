/* See save_every.h. A lock in the machine's state folder keeps it to one process a machine, and tells which one. */
#include "cli/save_every.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/num.h"
#include "cli/print_line.h"
#include "host/client.h"
#include "host/detach.h"

#define LOCK_FILE "every"
/* The machine's end is seen so late where the kernel gives no descriptor of its process. */
#define LOOK_MS 1000

static int lock_open(const char *name, struct err *err)
{
	struct path path;
	int ret = path_state(&path, name, LOCK_FILE, err);

	if (ret < 0)
		return ret;
	ret = open(path.text, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return ret < 0 ? err_sys(err, errno, "%s", path.text) : ret;
}

/* The process that has it; 0: none. */
static pid_t lock_owner(int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (fcntl(fd, F_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)
		return 0;
	return lock.l_pid;
}

/* A lock of the process: the kernel knows whose it is. Behind the fork, which does not inherit it. */
static int lock_take(int fd, const char *name, struct err *err)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (fcntl(fd, F_SETLK, &lock) == 0)
		return 0;
	if (errno != EAGAIN && errno != EACCES)
		return err_sys(err, errno, "lock the saves of %s", name);
	return err_set(err, ERR_USAGE,
		       "machine %s is saved again and again already, by process %d: torpor save %s "
		       "--every off ends that",
		       name, (int)lock_owner(fd), name);
}

int save_every_stop(const char *name, struct err *err)
{
	struct path path;
	cleanup_fd int fd = -1, process = -1;
	pid_t pid;
	int ret = path_state(&path, name, LOCK_FILE, err);

	if (ret < 0)
		return ret;
	fd = open(path.text, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	pid = fd >= 0 ? lock_owner(fd) : 0;
	if (pid > 0)
		process = pidfd_open(pid, 0);
	/* It may have ended, and the number be another's. */
	if (process < 0 || lock_owner(fd) != pid)
		return err_set(err, ERR_NOT_FOUND, "machine %s is not saved again and again", name);
	if (pidfd_send_signal(process, SIGTERM, NULL, 0) < 0 && errno != ESRCH)
		return err_sys(err, errno, "end process %d", (int)pid);
	while (poll(&(struct pollfd){.fd = process, .events = POLLIN}, 1, -1) < 0 && errno == EINTR)
		;
	return 0;
}

struct every_run {
	const struct save_every *every;
	struct series series;
	int process; /* a pidfd of the machine; -1: the kernel has none */
	bool detached;
};

/* A process in the background has no standard error: the machine's own log has its words. */
static void tell(const struct every_run *run, const char *text)
{
	cleanup_file FILE *log = NULL;
	struct path path;

	if (!run->detached) {
		print_line(stderr, "torpor: save: %s", text);
		return;
	}
	if (path_state(&path, run->every->name, "torpor.log", NULL) == 0)
		log = fopen(path.text, "ae");
	if (log != NULL)
		print_line(log, "torpor: %s: save --every: %s", run->every->name, text);
}

static bool has_ended(const struct every_run *run)
{
	struct pollfd process = {.fd = run->process, .events = POLLIN};

	if (process.fd >= 0)
		return poll(&process, 1, 0) > 0;
	return !claim_is_held(run->every->name);
}

/* Until then, or the end of the machine. */
static void await_turn(const struct every_run *run, uint64_t due)
{
	struct pollfd process = {.fd = run->process, .events = POLLIN};
	uint64_t now;

	while (!has_ended(run) && (now = clock_ns(CLOCK_BOOTTIME)) < due) {
		const uint64_t left = (due - now) / NS_PER_MS + 1;

		(void)poll(&process, 1, (int)u64_min(left, process.fd >= 0 ? INT32_MAX : LOOK_MS));
	}
}

/* A file more, and those that are not wanted any more go. */
static int save_one(struct every_run *run, struct err *err)
{
	const struct save_every *every = run->every;
	unsigned removed;
	struct path path;
	int ret = series_next(&run->series, &path, err);

	if (ret < 0)
		return ret;
	ret = every->save(every->opaque, &run->series, path.text, err);
	/* Each line at its time; that nobody reads them ends no saves. */
	(void)fflush(stdout);
	if (ret < 0)
		return ret;
	ret = series_show(&run->series, path.text, err);
	return ret < 0 ? ret : series_trim(&run->series, every->keep, &removed, err);
}

static void save_on(struct every_run *run)
{
	const uint64_t period = run->every->seconds * NS_PER_SECOND;
	uint64_t due = clock_ns(CLOCK_BOOTTIME);
	struct err err;

	for (;;) {
		const uint64_t now = clock_ns(CLOCK_BOOTTIME);

		due += period * u64_max(1, (now - due + period - 1) / period);
		await_turn(run, due);
		if (has_ended(run))
			return;
		if (save_one(run, &err) < 0 && !has_ended(run)) {
			char text[sizeof(err.text) + 64];

			snprintf(text, sizeof(text), "%s; it is tried again at the next time",
				 err.text);
			tell(run, text);
		}
	}
}

static int every_begin(struct every_run *run, int lock, struct err *err)
{
	int ret = series_open(&run->series, run->every->newest, err);

	if (ret < 0)
		return ret;
	ret = lock_take(lock, run->every->name, err);
	return ret < 0 ? ret : save_one(run, err);
}

/* In the background the parent says whether the first one succeeded. */
static int every_detached(struct every_run *run, int lock, struct err *err)
{
	char name[DETACH_NAME_SIZE];
	int report_fd, ret = detach_fork(&report_fd, name, err);

	if (ret < 0)
		return ret;
	/* That process has printed what it saved. */
	if (ret > 0)
		return 0;
	ret = every_begin(run, lock, err);
	if (ret < 0) {
		detach_failed(report_fd, err);
		return 1;
	}
	run->detached = true;
	if (detach_ready(report_fd, run->every->name))
		save_on(run);
	return 0;
}

static int find_process(struct every_run *run, struct err *err)
{
	struct client client;
	int ret = client_open(&client, run->every->name, err);

	if (ret < 0)
		return ret;
	run->process = client.process >= 0 ? fcntl(client.process, F_DUPFD_CLOEXEC, 0) : -1;
	client_close(&client);
	return 0;
}

int save_every(const struct save_every *every, struct err *err)
{
	struct every_run run = {.every = every, .process = -1};
	cleanup_fd int lock = -1;
	int ret = find_process(&run, err);

	if (ret < 0)
		return ret;
	lock = ret = lock_open(every->name, err);
	if (ret >= 0 && every->detach) {
		ret = every_detached(&run, lock, err);
	} else if (ret >= 0) {
		ret = every_begin(&run, lock, err);
		if (ret == 0)
			save_on(&run);
	}
	if (run.process >= 0)
		close(run.process);
	return ret;
}
