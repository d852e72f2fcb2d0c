/*
 * Finding the file an increment stands on: beside the increment itself, in the store, then among
 * the images that came from registries (store/cas.h). Files
 * are recognized by the digest of their config, so they may have any name that ends in .torpor. A
 * folder or file that cannot be read counts as not there. Any thread.
 */
#ifndef TORPOR_HOST_PARENT_H
#define TORPOR_HOST_PARENT_H

#include <limits.h>

#include "format/chain.h"

/* The path of the file with this identity. Returns 0, or -ENOENT with ERR_NOT_FOUND when it is in
 * neither place; then `path` means nothing. */
int parent_find(const char *digest, const char *child, char path[PATH_MAX], struct err *err);
/* Is this the name of a file that is looked at? Cannot fail. */
bool parent_has_suffix(const char *name);
/* chain_open() with that search. Returns what chain_open() gives. */
int parent_open(struct chain **out, const char *path, const struct archive_open_params *params,
		struct err *err);

#endif
