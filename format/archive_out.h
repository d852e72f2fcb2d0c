/*
 * Where the bytes of an archive go: a temporary file beside its target, or a stream (a pipe, a
 * socket), which gets them in order.
 *
 *     out_open | out_stream → out_write → out_end → out_close
 *
 * What was not written is zeros: a hole in the file, zeros sent down the stream. A file is not in
 * place before tempfile_publish(). Any thread may write to a file; one at a time to a stream.
 *
 * Functions that return int return 0; -ECANCELED once the progress is cancelled; what
 * tempfile_open() and tempfile_write() give; or the errno of write(2), ftruncate(2) or fsync(2).
 */
#ifndef TORPOR_FORMAT_ARCHIVE_OUT_H
#define TORPOR_FORMAT_ARCHIVE_OUT_H

#include "base/progress.h"
#include "base/tempfile.h"

struct archive_out {
	const char *name;	   /* for messages */
	int stream;		   /* borrowed; -1: `file` it is */
	uint64_t sent;		   /* down the stream */
	struct progress *progress; /* borrowed; NULL: none */
	struct tempfile file;
};

int out_open(struct archive_out *out, const char *target, struct err *err);
/* A temporary file that another process has opened, and publishes (tempfile_adopt()). */
int out_adopt(struct archive_out *out, int fd, const char *target, struct err *err);
void out_stream(struct archive_out *out, int fd);
/* Put bytes at an offset, which on a stream is never below what was written before (assert). */
int out_write(struct archive_out *out, const void *data, uint64_t len, uint64_t offset,
	      struct err *err);
/* Give it its whole length. */
int out_end(struct archive_out *out, uint64_t size, struct err *err);
void out_close(struct archive_out *out);

#endif
