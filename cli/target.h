/*
 * FILE|NAME on a command line. A running machine of that name comes first, then a file, then what
 * was saved to the store under that name. Anything with a slash, or that ends in .torpor, is a
 * file.
 */
#ifndef TORPOR_CLI_TARGET_H
#define TORPOR_CLI_TARGET_H

#include "host/paths.h"

enum target_kind {
	TARGET_MACHINE, /* running */
	TARGET_FILE,
	TARGET_STORED,
};

struct target {
	enum target_kind kind;
	const char *name;  /* as typed */
	const char *file;  /* to open; NULL for a machine */
	struct path store; /* `file` when it is stored */
};

/* `target` holds a pointer into itself: do not copy it. Whether what must be a file is there is not
 * looked at. Returns 0, -ENOENT with ERR_NOT_FOUND when it is none of these, or what path_store()
 * gives. */
int target_find(struct target *target, const char *text, struct err *err);

/* FILE on a command line of a verb that reads files only: a file, or what was saved to the store
 * under that name; never TARGET_MACHINE. Errors as above. */
int target_find_file(struct target *target, const char *text, struct err *err);

#endif
