/* See terminal.h. */
#include "host/terminal.h"

#include <signal.h>
#include <termios.h>
#include <unistd.h>

static struct termios saved;
static volatile sig_atomic_t is_raw;

void terminal_restore(void)
{
	if (is_raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &saved);
	is_raw = 0;
}

static void restore_and_die(int signal)
{
	terminal_restore(); /* tcsetattr is async-signal-safe */
	raise(signal);	    /* SA_RESETHAND: now it kills */
}

bool terminal_raw(void)
{
	struct sigaction action = {.sa_handler = restore_and_die, .sa_flags = (int)SA_RESETHAND};
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &saved) < 0)
		return false;
	sigaction(SIGABRT, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	raw = saved;
	cfmakeraw(&raw);
	/* What the guest prints is shown as a terminal of its own would. */
	raw.c_oflag = saved.c_oflag;
	is_raw = 1;
	tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
	return true;
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
