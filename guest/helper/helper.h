/*
 * The helper: a program of its own that the host puts into the guest to run commands there. It has
 * no C library, so that it runs in every guest of its architecture; helper.c serves the host's
 * frames (guest/exec_frame.h), child.c becomes the command. What the init (guest/init) needs, too, is
 * in memory.c, base.c, account.c, execute.c, console_port.c and random.c.
 */
#ifndef TORPOR_GUEST_HELPER_HELPER_H
#define TORPOR_GUEST_HELPER_HELPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest/exec_frame.h"
#include "guest/helper/base.h"

/* What EXEC_ARGS said. Pointers into the client's bytes. */
struct command {
	uint32_t flags;
	uint16_t rows, columns;
	char *folder, *user;
	char **argv, **env; /* each with NULL behind its end */
};

/* What the child has of its parent. */
struct child_files {
	int in, out, err; /* its own */
	int report;	  /* close-on-exec: u8 enum exec_exit and le32 errno when it did not become
			     the command */
	uint64_t files_soft, files_hard; /* RLIMIT_NOFILE */
};

/* Become the command. */
_Noreturn void child_run(const struct command *c, const struct child_files *files);

#endif
