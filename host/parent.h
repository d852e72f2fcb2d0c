/*
 * Finding the file an increment stands on: beside the increment itself, then in the store. Files
 * are known by what they say they are, so they may have any name that ends in .torpor.
 */
#ifndef TORPOR_HOST_PARENT_H
#define TORPOR_HOST_PARENT_H

#include <limits.h>

#include "format/chain.h"

/* ERR_NOT_FOUND when it is in neither place. */
int parent_find(const char *digest, const char *child, char path[PATH_MAX], struct err *err);
/* Is this the name of a file that is looked at? */
bool parent_has_suffix(const char *name);
/* chain_open() with that search. */
int parent_open(struct chain **out, const char *path, const struct archive_open_params *params,
		struct err *err);

#endif
