/*
 * Finding the file an increment stands on: beside the increment itself, then in the store. Files
 * are known by what they say they are, so they may have any name that ends in .torpor.
 */
#ifndef TORPOR_CLI_PARENT_H
#define TORPOR_CLI_PARENT_H

#include "format/lineage.h"

/* lineage_open() with that search. */
int parent_open(struct lineage **out, const char *path, const struct archive_open_params *params,
		struct err *err);

#endif
