/* See terminal.h. */
#include "host/terminal.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/num.h"

static struct termios saved;
static volatile sig_atomic_t is_raw;

void terminal_restore(void)
{
	if (is_raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &saved);
	is_raw = 0;
}

/* tcsetattr is async-signal-safe; TCSANOW does not wait for a terminal that shows nothing more. */
static void restore_and_die(int signal)
{
	if (is_raw)
		tcsetattr(STDIN_FILENO, TCSANOW, &saved);
	is_raw = 0;
	raise(signal); /* SA_RESETHAND: now it kills */
}

/* A machine's process has the last four blocked and ends in order. */
static void restore_on_signals(void)
{
	static const int fatal[] = {SIGABRT, SIGSEGV, SIGTERM, SIGHUP, SIGINT, SIGQUIT};
	struct sigaction action = {.sa_handler = restore_and_die, .sa_flags = (int)SA_RESETHAND};
	struct sigaction old;

	for (size_t i = 0; i < ARRAY_SIZE(fatal); i++) {
		if (sigaction(fatal[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			sigaction(fatal[i], &action, NULL);
	}
}

static bool make_raw(bool both_ways)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &saved) < 0)
		return false;
	restore_on_signals();
	raw = saved;
	cfmakeraw(&raw);
	/* What the guest prints is shown as a terminal of its own would. */
	if (!both_ways)
		raw.c_oflag = saved.c_oflag;
	is_raw = 1;
	tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
	return true;
}

bool terminal_raw(void)
{
	return make_raw(false);
}

bool terminal_raw_both_ways(void)
{
	return make_raw(true);
}

static bool size_of(int fd, uint16_t *rows, uint16_t *columns)
{
	struct winsize size;

	if (ioctl(fd, TIOCGWINSZ, &size) < 0)
		return false;
	*rows = size.ws_row;
	*columns = size.ws_col;
	return true;
}

bool terminal_size(uint16_t *rows, uint16_t *columns)
{
	return size_of(STDIN_FILENO, rows, columns);
}

bool terminal_output_size(uint16_t *rows, uint16_t *columns)
{
	return size_of(STDOUT_FILENO, rows, columns);
}

bool terminal_error_size(uint16_t *rows, uint16_t *columns)
{
	return size_of(STDERR_FILENO, rows, columns);
}

bool terminal_raw_or_background(void)
{
	pid_t foreground = tcgetpgrp(STDIN_FILENO); /* -1: it is not our controlling terminal */

	if (foreground < 0 || foreground == getpgid(0))
		return terminal_raw();
	signal(SIGTTIN, SIG_IGN);
	signal(SIGTTOU, SIG_IGN);
	return false;
}
