/*
 * A file that appears under its name complete or not at all.
 *
 *     tempfile_open → tempfile_write (any thread, any order) → tempfile_publish → tempfile_close
 *
 * The temporary file is `.NAME.torpor.XXXXXX` beside the target and locked (flock) while its writer
 * lives, so that tempfile_open can tell and remove what killed writers left in that folder.
 * tempfile_publish fsyncs, renames and fsyncs the folder. Closed unpublished, it leaves no trace.
 */
#ifndef TORPOR_BASE_TEMPFILE_H
#define TORPOR_BASE_TEMPFILE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/err.h"

struct tempfile {
	int fd;
	int folder;
	bool replaces; /* there is an old file */
	char name[NAME_MAX + 1];
	char base[NAME_MAX + 1]; /* the target's name in the folder */
	char target[PATH_MAX];	 /* as the user wrote it, for messages */
};

/* Readable and writable by the owner only: a saved machine holds the keys its memory held. */
int tempfile_open(struct tempfile *t, const char *target, struct err *err);
int tempfile_write(const struct tempfile *t, const void *data, uint64_t len, uint64_t offset,
		   struct err *err);
/* The error of a failed system call on the file; says that the old file is unchanged. */
int tempfile_error(const struct tempfile *t, int errnum, struct err *err);
/* On success *st is the published file. */
int tempfile_publish(struct tempfile *t, struct stat *st, struct err *err);
void tempfile_close(struct tempfile *t);

#endif
