/*
 * The files of one machine that is saved again and again: moments, each with its time in its name, and the
 * newest of them under a name that stays.
 *
 *     web.torpor                     another name (a hard link) of the newest moment
 *     web.20261129T191000Z.torpor    a moment: a full file, or an increment on an earlier one
 *
 *     series_open → series_next → (a save writes it) → series_show → series_trim …
 *
 * The order keeps every name true whenever the caller is killed: a moment is there before the name that stays leads
 * to it, and that leads to it before an older moment goes. One thread. Functions that return int return 0, or
 * -errno with *err set.
 */
#ifndef TORPOR_SERIES_SERIES_H
#define TORPOR_SERIES_SERIES_H

#include <limits.h>
#include <stdbool.h>

#include "host/paths.h"

struct series {
	struct path newest;	 /* the name that stays; absolute */
	char folder[PATH_MAX];	 /* that it lies in */
	char stem[NAME_MAX + 1]; /* its name without the suffix */
};

/* `newest` is absolute; nothing is looked at. Returns 0; -EINVAL with ERR_USAGE when it does not end in .torpor,
 * without which no increment finds its parent; or -ENAMETOOLONG. */
int series_open(struct series *s, const char *newest, struct err *err);
/* The path of the next moment: now, or a second behind the last one, whatever the clock says. Also the errno of
 * opendir(3). */
int series_next(const struct series *s, struct path *path, struct err *err);
/* Whether the path is that of a moment of this series. */
bool series_has(const struct series *s, const char *path);
/* Whether the name that stays is free, or leads to a moment: nothing is lost when it leads to another one. */
bool series_newest_is_ours(const struct series *s);
/* Have the name that stays lead to this moment, on disk too. Returns the errno of link(2), rename(2) or fsync(2). */
int series_show(const struct series *s, const char *moment, struct err *err);
/* Remove moments that are neither among the newest `keep` nor stood on by a file beside them or in the store, once
 * the newest file has been opened with all it stands on, and each is what its digest says. A child in the sandbox of
 * `verify` looks at the files. *removed is how many went. Returns 0; what parent_open(), chain_ensure_verified() and
 * sandbox_enter() give; -EINVAL with ERR_FAILED when the child died; or the errno of opendir(3) or unlink(2). */
int series_trim(const struct series *s, unsigned keep, unsigned *removed, struct err *err);

#endif
