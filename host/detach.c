/* See detach.h. The report is one struct on a pipe: both ends are this program. */
#include "host/detach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "host/start.h"

struct detach_report {
	char name[DETACH_NAME_SIZE];
	struct err err; /* kind ERR_NONE: it runs */
};

int detach_start(int *report_fd, int *wait_fd, struct err *err)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		start_close_named();
		setsid();
		*report_fd = ends[1];
		return 0;
	}
	close(ends[1]);
	if (pid < 0) {
		close(ends[0]);
		return err_sys(err, errno, "fork");
	}
	*wait_fd = ends[0];
	return 1;
}

int detach_await(int wait_fd, char name[DETACH_NAME_SIZE], struct err *err)
{
	cleanup_fd int fd = wait_fd;
	struct detach_report report;
	ssize_t got;

	do {
		got = read(fd, &report, sizeof(report));
	} while (got < 0 && errno == EINTR);
	if (got != (ssize_t)sizeof(report))
		return err_set(err, ERR_FAILED, "the process died while it started");
	if (report.err.kind != ERR_NONE)
		return err_copy(err, -EINVAL, &report.err);
	memcpy(name, report.name, sizeof(report.name));
	return 1;
}

int detach_fork(int *report_fd, char name[DETACH_NAME_SIZE], struct err *err)
{
	int wait_fd, ret = detach_start(report_fd, &wait_fd, err);

	return ret <= 0 ? ret : detach_await(wait_fd, name, err);
}

/* Less than PIPE_BUF: whole or not at all. */
static bool detach_send_report(int fd, const struct detach_report *report)
{
	return write(fd, report, sizeof(*report)) == (ssize_t)sizeof(*report);
}

bool detach_ready(int report_fd, const char *name)
{
	cleanup_fd int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct detach_report report = {0};
	bool told;

	snprintf(report.name, sizeof(report.name), "%s", name);
	for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	(void)!chdir("/");
	told = detach_send_report(report_fd, &report);
	close(report_fd);
	return told;
}

void detach_failed(int report_fd, const struct err *err)
{
	struct detach_report report = {.err = *err};

	(void)detach_send_report(report_fd, &report);
	close(report_fd);
}
