/* Who goes into the background learns whether somebody was told. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/end_signals.h"
#include "host/detach.h"

static int status_of_child(void)
{
	int status = 0;

	cr_assert(ne(int, wait(&status), -1));
	cr_assert(eq(int, WIFEXITED(status) != 0, 1));
	return WEXITSTATUS(status);
}

Test(detach, the_parent_is_told_the_name)
{
	int report_fd, wait_fd, ret = detach_start(&report_fd, &wait_fd, NULL);
	char name[DETACH_NAME_SIZE];

	if (ret == 0)
		_exit(detach_ready(report_fd, "web") ? 0 : 1);
	cr_assert(eq(int, detach_await(wait_fd, name, NULL), 1));
	cr_assert(eq(str, name, (char *)"web"));
	cr_assert(eq(int, status_of_child(), 0));
}

/* Killed, say. The process learns it, and leaves no machine that nobody knows of. */
Test(detach, a_parent_that_is_gone_is_noticed)
{
	int report_fd, wait_fd, ret, gone[2];
	char byte;

	cr_assert(eq(int, pipe(gone), 0));
	ret = detach_start(&report_fd, &wait_fd, NULL);
	if (ret == 0) {
		signal(SIGPIPE, SIG_IGN);
		close(gone[1]);
		(void)!read(gone[0], &byte, 1);
		_exit(detach_ready(report_fd, "web") ? 1 : 0);
	}
	close(wait_fd);
	close(gone[1]);
	cr_assert(eq(int, status_of_child(), 0));
}

/* Below nohup it does not ask a program to end. */
Test(end_signals, a_hangup_that_is_ignored_is_none)
{
	int fd;

	signal(SIGHUP, SIG_IGN);
	fd = end_signals_open(SIGUSR1, NULL);
	cr_assert(ge(int, fd, 0));
	raise(SIGHUP);
	cr_assert(eq(int, end_signals_take(fd), 0));
	raise(SIGUSR1);
	cr_assert(eq(int, end_signals_take(fd), SIGUSR1));
	raise(SIGTERM);
	cr_assert(eq(int, end_signals_take(fd), SIGTERM));
	cr_assert(eq(int, end_signals_take(fd), 0));
}

Test(end_signals, a_hangup_is_one)
{
	int fd;

	signal(SIGHUP, SIG_DFL); /* the tests may run below nohup */
	fd = end_signals_open(0, NULL);
	cr_assert(ge(int, fd, 0));
	raise(SIGHUP);
	cr_assert(eq(int, end_signals_take(fd), SIGHUP));
}

Test(end_signals, one_ends_the_program, .signal = SIGTERM)
{
	(void)end_signals_open(0, NULL);
	end_signals_die(SIGTERM);
}
