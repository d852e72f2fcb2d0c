/*
 * A file that appears under its name complete or not at all.
 *
 *     tempfile_open → tempfile_write (any thread, any order) → tempfile_publish → tempfile_close
 *
 * The temporary file has no name (O_TMPFILE) where file system and sandbox let it be linked later:
 * whatever ends the writer, the kernel frees its space. tempfile_publish links it as
 * `.NAME.torpor.XXXXXX` beside the target, fsyncs, renames that over the target and fsyncs the
 * folder. Elsewhere it has that name from the beginning; then tempfile_unlink_all() removes it from
 * a signal handler. A named one is locked (flock) while its writer lives, so that tempfile_open can
 * tell and remove what killed writers left in that folder. Closed unpublished, it leaves no trace.
 *
 * A process that may not open the folder is given the open temporary by one that may, over a
 * socket, and writes it: tempfile_adopt → tempfile_write → tempfile_close. The one that gave it
 * publishes it.
 *
 * All return 0 or -errno: what the system call on folder or file gave (-ENOENT with ERR_NOT_FOUND
 * when the folder is missing). tempfile_open() also: -EINVAL with ERR_FAILED when the target is not
 * a regular file, -EISDIR when it ends in '/', -ENAMETOOLONG, -EEXIST when no temporary name is
 * free.
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
	bool replaces;		 /* there is an old file */
	char name[NAME_MAX + 1]; /* "" while it has none */
	char base[NAME_MAX + 1]; /* the target's name in the folder */
	char target[PATH_MAX];	 /* as the user wrote it, for messages */
};

/* Readable and writable by the owner only: a saved machine holds the keys its memory held. After an
 * error nothing is open; tempfile_close() may be called. */
int tempfile_open(struct tempfile *t, const char *target, struct err *err);
/* `fd` is duplicated. Also returns -EINVAL when it is not an empty file, open for reading and
 * writing; or the errno of fstat(2) or fcntl(2). */
int tempfile_adopt(struct tempfile *t, int fd, const char *target, struct err *err);
/* Another process publishes it. */
static inline bool tempfile_is_adopted(const struct tempfile *t)
{
	return t->fd >= 0 && t->folder < 0;
}
int tempfile_write(const struct tempfile *t, const void *data, uint64_t len, uint64_t offset,
		   struct err *err);
/* The error of a failed system call on the file: sets *err, which says that the old file is
 * unchanged, and returns -errnum. */
int tempfile_error(const struct tempfile *t, int errnum, struct err *err);
/* Write its data out, which takes as long as there is much; tempfile_publish() does it otherwise. */
int tempfile_flush(const struct tempfile *t, struct err *err);
/* On success *st is the published file. After an error the old file is unchanged, unless the text
 * says that the new one is in place: then fsync(2) of the folder or fstat(2) failed. */
int tempfile_publish(struct tempfile *t, struct stat *st, struct err *err);
/* The same where there is no file yet: -EEXIST when there is one by now, which stays. */
int tempfile_publish_new(struct tempfile *t, struct err *err);
void tempfile_close(struct tempfile *t);

#define TEMPFILE_CLOSED                                                                            \
	(struct tempfile)                                                                          \
	{                                                                                          \
		.fd = -1, .folder = -1                                                             \
	}
#define cleanup_tempfile __attribute__((cleanup(tempfile_close)))

/* A file without a name in `folder`: it is gone with its last descriptor and mapping. Returns the
 * descriptor, -ENAMETOOLONG, or what open(2) or mkostemp(3) gave. */
int tempfile_unnamed(const char *folder, struct err *err);
/* The same in the folder of the file `path`. */
int tempfile_unnamed_beside(const char *path, struct err *err);

/* Whether tempfile_open() succeeds, before much work is spent on what cannot be written. */
int tempfile_try(const char *target, struct err *err);

/* Remove the names of all temporaries that this process has open. Async-signal-safe: for a handler
 * after which the process ends. */
void tempfile_unlink_all(void);

#endif
