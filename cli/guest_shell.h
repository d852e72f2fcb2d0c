/* A command of a transcript in a machine's guest: in its shell, to its end. Any thread. */
#ifndef TORPOR_CLI_GUEST_SHELL_H
#define TORPOR_CLI_GUEST_SHELL_H

#include "base/buf.h"
#include "base/err.h"

struct guest_shell {
	const char *machine;
	char *const *env; /* K=V of the command; ends with NULL */
	int stop_fd;	  /* the command is given up once it is readable; -1: never */
};

/* As test_guest.run: the command's output, both streams together, up to `most` bytes, behind which
 * a line counts the rest; and its status, GOLDEN_TIMED_OUT when `seconds` were over and it was
 * killed. A guest whose agent does not answer yet is waited for, at most as long and two minutes.
 * Returns 0; -ECANCELED when it was stopped; -EINVAL with ERR_FAILED when there is no shell or it
 * cannot be ended; -ENOMEM; or what guest_command_start() and guest_command_frame() give. */
int guest_shell_run(const struct guest_shell *shell, const char *command, unsigned seconds,
		    size_t most, struct buf *output, int *status, struct err *err);

#endif
