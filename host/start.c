/* See start.h. */
#include "host/start.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAMED_MAX     64u
#define CLOSE_AT_MOST 65536u /* without close_range(2): Linux before 5.9 */

static unsigned named[NAMED_MAX]; /* ascending */
static unsigned nnamed;
static bool had_no_stdout;

/* A descriptor below 3 that is missing would become the next file that is opened. */
static void open_standard_streams(void)
{
	had_no_stdout = fcntl(STDOUT_FILENO, F_GETFD) < 0;
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		/* The lowest free number is this one. */
		if (open("/dev/null", fd == STDIN_FILENO ? O_RDONLY : O_WRONLY) < 0)
			(void)open("/", O_PATH);
	}
}

static void add_named(unsigned fd)
{
	unsigned at = 0;

	while (at < nnamed && named[at] < fd)
		at++;
	if (nnamed == NAMED_MAX || (at < nnamed && named[at] == fd))
		return;
	memmove(&named[at + 1], &named[at], (nnamed - at) * sizeof(named[0]));
	named[at] = fd;
	nnamed++;
}

static void find_named(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *at = argv[i];

		while ((at = strstr(at, "/fd/")) != NULL) {
			unsigned long fd;

			at += strlen("/fd/");
			if (!isdigit((unsigned char)at[0]))
				continue;
			fd = strtoul(at, NULL, 10);
			if (fd > STDERR_FILENO && fd <= INT32_MAX)
				add_named((unsigned)fd);
		}
	}
}

/* Sockets that are passed (sd_listen_fds(3)) to a command line that speaks of them. */
static void find_passed(int argc, char **argv)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	unsigned long n = fds != NULL ? strtoul(fds, NULL, 10) : 0;
	bool spoken_of = false;

	for (int i = 1; i < argc; i++)
		spoken_of |= strstr(argv[i], "listen") != NULL;
	if (!spoken_of || pid == NULL || strtoul(pid, NULL, 10) != (unsigned long)getpid())
		return;
	for (unsigned long i = 0; i < n && i < NAMED_MAX; i++)
		add_named((unsigned)(STDERR_FILENO + 1 + i));
}

static void close_from_to(unsigned first, unsigned last)
{
	if (first > last || close_range(first, last, 0) == 0 || errno != ENOSYS)
		return;
	for (unsigned fd = first; fd <= last && fd < CLOSE_AT_MOST; fd++)
		close((int)fd);
}

/* A machine that goes on would keep locks (flock) and pipes of its parent. */
static void close_inherited(void)
{
	unsigned first = STDERR_FILENO + 1;

	for (unsigned i = 0; i < nnamed; i++) {
		close_from_to(first, named[i] - 1);
		first = named[i] + 1;
	}
	close_from_to(first, UINT32_MAX);
}

static void reset_signals(void)
{
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++) {
		struct sigaction action;

		if (sigaction(sig, NULL, &action) < 0 || action.sa_handler != SIG_IGN ||
		    sig == SIGHUP)
			continue;
		(void)signal(sig, SIG_DFL);
	}
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

void start_clean(int argc, char **argv)
{
	struct rlimit size;

	open_standard_streams();
	find_named(argc, argv);
	find_passed(argc, argv);
	close_inherited();
	reset_signals();
	if (getrlimit(RLIMIT_FSIZE, &size) == 0 && size.rlim_cur != size.rlim_max) {
		size.rlim_cur = size.rlim_max;
		(void)setrlimit(RLIMIT_FSIZE, &size);
	}
	(void)umask((umask(022) & ~(mode_t)0700) | 022);
}

bool start_had_no_stdout(void)
{
	return had_no_stdout;
}

void start_close_named(void)
{
	for (unsigned i = 0; i < nnamed; i++)
		close((int)named[i]);
	nnamed = 0;
}
