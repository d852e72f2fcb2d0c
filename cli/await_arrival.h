/* Verbs that need all of a machine whose files are still arriving (host/arriving.h). One thread. */
#ifndef TORPOR_CLI_AWAIT_ARRIVAL_H
#define TORPOR_CLI_AWAIT_ARRIVAL_H

#include "base/err.h"

/* Wait until all of it is there, and say so on standard error, for `verb`. A machine that has ended
 * meanwhile is the caller's to find out. Returns 0, or -EIO with ERR_FAILED when the rest will not
 * come. */
int await_arrival(const char *name, const char *verb, struct err *err);

#endif
