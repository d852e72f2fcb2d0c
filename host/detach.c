/* See detach.h. The report is one message on a pipe, of our own types: both ends are this program.
 */
#include "host/detach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

struct report {
	char name[DETACH_NAME_SIZE];
	struct err err; /* kind ERR_NONE: it runs */
};

static ssize_t read_report(int fd, struct report *report)
{
	ssize_t got;

	do {
		got = read(fd, report, sizeof(*report));
	} while (got < 0 && errno == EINTR);
	return got;
}

static int await_report(int fd, char name[DETACH_NAME_SIZE], struct err *err)
{
	struct report report;

	if (read_report(fd, &report) != (ssize_t)sizeof(report))
		return err_set(err, ERR_FAILED, "the process died while it started");
	if (report.err.kind != ERR_NONE) {
		*err = report.err;
		return -EINVAL;
	}
	memcpy(name, report.name, sizeof(report.name));
	return 1;
}

int detach_fork(int *report_fd, char name[DETACH_NAME_SIZE], struct err *err)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		setsid();
		*report_fd = ends[1];
		return 0;
	}
	close(ends[1]);
	{
		cleanup_fd int fd = ends[0];

		return pid < 0 ? err_sys(err, errno, "fork") : await_report(fd, name, err);
	}
}

static void send_report(int fd, const struct report *report)
{
	/* Less than PIPE_BUF: whole or not at all. A parent that is gone does not matter. */
	if (write(fd, report, sizeof(*report)) < 0)
		return;
}

static void leave_streams(void)
{
	cleanup_fd int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
}

void detach_ready(int report_fd, const char *name)
{
	struct report report = {0};

	snprintf(report.name, sizeof(report.name), "%s", name);
	leave_streams();
	(void)!chdir("/");
	send_report(report_fd, &report);
	close(report_fd);
}

void detach_failed(int report_fd, const struct err *err)
{
	struct report report = {.err = *err};

	send_report(report_fd, &report);
	close(report_fd);
}
