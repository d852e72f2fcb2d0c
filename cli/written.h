/* What a verb says about the appliance it has written. */
#ifndef TORPOR_CLI_WRITTEN_H
#define TORPOR_CLI_WRITTEN_H

#include <stdbool.h>

#include "base/err.h"

/* Path, identity, size and, of an increment, the digest of its parent (NULL: it is full), as JSON
 * or in a line; nothing when it went to standard output. Returns 0, or the errno of stat(2). */
int written_print(const char *path, const char *digest, const char *parent, bool json,
		  struct err *err);

#endif
