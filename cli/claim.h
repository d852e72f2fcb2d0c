/*
 * The claim on a machine's name: a lock on `lock` in its runtime folder, held by the machine's
 * process as long as it lives. Nothing else says that a machine is alive: what a killed process
 * leaves behind is only files, which the next claim reuses.
 *
 * The lock belongs to the open file (F_OFD_SETLK), so looking whether it is held takes none.
 */
#ifndef TORPOR_CLI_CLAIM_H
#define TORPOR_CLI_CLAIM_H

#include <stdbool.h>

#include "vmm/base/err.h"

struct claim {
	char name[64];
	int fd; /* -1: none */
};

/* Take the name, or fail with "a machine named X is running". */
int claim_name(struct claim *claim, const char *name, struct err *err);
/* Take a free name made from `wish`: itself, or wish-2, wish-3 …; NULL: a random vm-xxxxxx. */
int claim_free_name(struct claim *claim, const char *wish, struct err *err);
/* Remove the runtime folder and give the name back. */
void claim_release(struct claim *claim);

/* Somebody holds the claim. */
bool claim_is_held(const char *name);

#endif
