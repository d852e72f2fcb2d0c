/* A passphrase from the terminal, a file or a pipe. The caller wipes it. One thread. */
#ifndef TORPOR_CLI_PASSPHRASE_H
#define TORPOR_CLI_PASSPHRASE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define PASSPHRASE_MAX 1023u /* bytes, as for minisign */

struct passphrase {
	char text[PASSPHRASE_MAX + 1];
	size_t len;
};

#define cleanup_passphrase __attribute__((cleanup(passphrase_wipe)))

/* What verbs that need one have in their table. */
#define OPTION_PASSPHRASE_FILE (OPTION_LONG_ONLY + 201)
#define OPTION_PASSPHRASE_FILE_SPEC                                                                \
	{                                                                                          \
		OPTION_PASSPHRASE_FILE, "passphrase-file", "FILE",                                 \
			"the passphrase is the first line of FILE; - is standard input"            \
	}

/* From `file`'s first line ("-": standard input), or, when that is NULL, typed at the terminal
 * without being shown: for `what`, and twice if it is `new`. Returns 0; -EINVAL with ERR_USAGE when
 * it is empty, too long or no text, when the two differ, or without a terminal; -EINVAL with
 * ERR_FAILED when a signal interrupts; or the errno of open(2), read(2), poll(2), signalfd(2) or
 * the terminal. */
int passphrase_read(struct passphrase *p, const char *file, const char *what, bool new,
		    struct err *err);
/* The same of a password, for which the verb has --password-stdin. */
int password_read(struct passphrase *p, bool from_stdin, const char *what, struct err *err);
void passphrase_wipe(struct passphrase *p);

#endif
