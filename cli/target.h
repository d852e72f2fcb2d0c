/*
 * FILE|NAME|REF on a command line. A running machine of that name comes first, then a file, then
 * what was saved to the store under that name, then the image of that name (store/reference.h).
 * Anything with a slash, or that ends in .torpor, is a file; if there is none, it may be an image.
 * What begins with docker:// is an image and nothing else. An image that is found is held
 * (cas_hold()) as long as this process and its children live.
 */
#ifndef TORPOR_CLI_TARGET_H
#define TORPOR_CLI_TARGET_H

#include "host/paths.h"

enum target_kind {
	TARGET_MACHINE, /* running */
	TARGET_FILE,
	TARGET_STORED,
	TARGET_IMAGE, /* its folder is the file */
};

struct target {
	enum target_kind kind;
	const char *name;  /* as typed */
	const char *file;  /* to open; NULL for a machine */
	struct path store; /* `file` when it is stored, or an image */
};

/* `target` holds a pointer into itself: do not copy it. Whether what must be a file is there is not
 * looked at, unless it could be NAME:TAG. Returns 0, -ENOENT with ERR_NOT_FOUND when it is none of
 * these, or what path_store(), path_cas(), cas_resolve() and cas_hold() give. */
int target_find(struct target *target, const char *text, struct err *err);

/* FILE on a command line of a verb that reads files only: a file, or what was saved to the store
 * under that name; never TARGET_MACHINE. Errors as above. */
int target_find_file(struct target *target, const char *text, struct err *err);

/* An image is found by what was typed, and opened by its path in the store. From now on
 * target_tell() has the first for the second: of the last images, for both functions above call it
 * themselves. `typed` is borrowed for good. */
void target_name_path(const char *path, const char *typed);
/* What was typed for that path; NULL: not known. */
const char *target_typed(const char *path);
/* Before an error is printed. */
void target_tell(struct err *err);

#endif
