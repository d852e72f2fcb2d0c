/*
 * What a save has to know of files that are there already. They may be a stranger's, so a child in
 * a reader's sandbox looks, and says what it found.
 */
#ifndef TORPOR_CLI_SAVE_LOOK_H
#define TORPOR_CLI_SAVE_LOOK_H

#include <jansson.h>

#include "base/err.h"

struct save_look {
	/* Where in the store the save goes; NULL: elsewhere, or there is nothing to replace. */
	const char *target;
	/* The file it is to be relative to; NULL: to none. Absolute, as the target. */
	const char *parent;
};

/* Out: {"replaced": the target's identity, "dependent": the name of a file in the store that stands
 * on it, "parents": the parent's path and those of the files it stands on, "members": for each of
 * these the names of the files in it, if it is a folder}; members that there is nothing for are
 * missing. A new reference. Any thread while there is one only. Returns 0; what
 * store_find_dependent(), parent_open() and sandbox_enter() give; -EINVAL with ERR_FAILED when the
 * child died, or names a place where no parent is looked for; or the errno of pipe(2) or fork(2).
 */
int save_look(const struct save_look *look, json_t **found, struct err *err);

#endif
