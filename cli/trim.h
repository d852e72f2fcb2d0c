/* Before a save: the guest gives up memory that need not be in the file. Client's side. */
#ifndef TORPOR_CLI_TRIM_H
#define TORPOR_CLI_TRIM_H

#include "cli/client.h"

/* Ask for what is free, or with `caches` for whatever the guest can do without, and wait for it:
 * three seconds at most, or ten. A guest that does not take part is saved as it is; when its caches
 * were asked for, a line on stderr says so. */
int trim(struct client *client, bool caches, struct err *err);

#endif
