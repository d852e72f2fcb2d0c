/* Removing a machine's logs and records, for `rm` and for who makes machines of his own. */
#ifndef TORPOR_CLI_REMOVE_MACHINE_H
#define TORPOR_CLI_REMOVE_MACHINE_H

#include <stdbool.h>

#include "base/err.h"

/* `force`: kill it first. Returns 0; -EINVAL with ERR_USAGE for what is no name; ERR_FAILED when it
 * runs; ERR_NOT_FOUND; or what client_kill_once() and claim_name() give. Any thread. */
int remove_machine(const char *name, bool force, struct err *err);

#endif
