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

static void restore_on_abort(void)
{
	struct sigaction action = {.sa_handler = restore_and_die, .sa_flags = (int)SA_RESETHAND};

	sigaction(SIGABRT, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
}

bool terminal_raw(void)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &saved) < 0)
		return false;
	restore_on_abort();
	raw = saved;
	cfmakeraw(&raw);
	/* What the guest prints is shown as a terminal of its own would. */
	raw.c_oflag = saved.c_oflag;
	is_raw = 1;
	tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
	return true;
}
