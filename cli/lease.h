/* --until-closed PIPE: a machine that ends with who started it. */
#ifndef TORPOR_CLI_LEASE_H
#define TORPOR_CLI_LEASE_H

#include "cli/options.h"

#define OPTION_UNTIL_CLOSED (OPTION_LONG_ONLY + 220)

/* clang-format off */
#define LEASE_OPTION                                                                               \
	{OPTION_UNTIL_CLOSED, "until-closed", "PIPE",                                              \
	 "end it when nobody has the other end of PIPE open any more, as /dev/fd/3"}
/* clang-format on */

/* Open the pipe at `path`, for instance_options.lease_fd; NULL: *fd is 0. It is open as long as the
 * process lives. Before that confines itself. Returns 0; -EINVAL with ERR_USAGE when it is no pipe,
 * with ERR_FAILED when nobody has its other end open; or the errno of open(2) or fstat(2). */
int lease_open(const char *path, int *fd, struct err *err);

#endif
