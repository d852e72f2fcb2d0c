/* Before a save: the guest gives up memory that need not be in the file. Client's side. */
#ifndef TORPOR_CLI_TRIM_H
#define TORPOR_CLI_TRIM_H

#include "host/client.h"

/* Ask for whatever the guest can do without, its caches above all, and wait while it
 * goes on giving, two minutes at most. A guest that does not take part is saved as it is; a line on
 * stderr says so. Returns 0, or the error of client_call(). */
int trim(struct client *client, struct err *err);

#endif
