/*
 * Writing a .torpor file.
 *
 *     archive_writer_open → _blob / _bytes / _image in any order → _publish (or _abort)
 *
 * Everything goes to a temporary file beside the target; publish computes what is left, writes the
 * headers and metadata in front, fsyncs, renames over the target and fsyncs the folder. A kill at
 * any moment leaves the old file or the new one. An abort, or an error, leaves the old file and
 * removes the temporary one; temporaries of killed writers are removed by the next save to that
 * folder (they are locked while their writer lives).
 *
 * Images are hashed on all cores while they are written. One thread calls; helper threads are
 * internal. A file published here counts as verified (verified.h).
 */
#ifndef TORPOR_FORMAT_ARCHIVE_WRITER_H
#define TORPOR_FORMAT_ARCHIVE_WRITER_H

#include "format/appliance.h"
#include "format/blob.h"
#include "format/image.h"
#include "vmm/base/err.h"

struct archive_writer;

int archive_writer_open(struct archive_writer **out, const char *target, struct err *err);
/* Copy a blob (kernel, initrd). */
int archive_writer_blob(struct archive_writer *w, const char *role, const struct blob *blob,
			struct err *err);
/* A blob from memory (state). The bytes are copied. */
int archive_writer_bytes(struct archive_writer *w, const char *role, const void *data, size_t len,
			 struct err *err);
/* An image: zero frames are found and left out. The source is read during this call. */
int archive_writer_image(struct archive_writer *w, const char *role,
			 const struct image_source *source, struct err *err);
/* An image that an archive already holds is copied as it is (map, hashes, parts; reflinked or
 * copied in the kernel where the file systems can). */
int archive_writer_copy_image(struct archive_writer *w, const char *role, const struct image *image,
			      struct err *err);
int archive_writer_publish(struct archive_writer *w, const struct appliance *a, struct err *err);
/* Free a writer; unless published, nothing of it remains. NULL is fine. */
void archive_writer_free(struct archive_writer *w);

#endif
