/*
 * The claim on the name of a machine or a LAN: a lock on `lock` in its runtime folder, held by its
 * process as long as it lives. Nothing else says that it is alive: what a killed process
 * leaves behind is only files, which the next claim reuses.
 *
 * The lock belongs to the open file (F_OFD_SETLK), so looking whether it is held takes none.
 */
#ifndef TORPOR_HOST_CLAIM_H
#define TORPOR_HOST_CLAIM_H

#include <stdbool.h>

#include "base/err.h"

enum claim_kind { CLAIM_MACHINE, CLAIM_LAN };

struct claim {
	enum claim_kind kind;
	char name[64];
	int fd; /* -1: none */
};

/* Take the name, or fail with "the name X is in use by a running machine". */
int claim_name(struct claim *claim, const char *name, struct err *err);
int claim_lan(struct claim *claim, const char *name, struct err *err);
/* Take a free name for a machine, made from `wish`: itself, or wish-2, wish-3 …; NULL: a random
 * vm-xxxxxx. */
int claim_free_name(struct claim *claim, const char *wish, struct err *err);
/* Remove the runtime folder and give the name back. */
void claim_release(struct claim *claim);

/* Somebody holds the claim. */
bool claim_is_held(const char *name);
bool claim_lan_is_held(const char *name);

#endif
