/*
 * Writing a .torpor file.
 *
 *     archive_writer_open → _blob / _bytes / _image in any order → _publish → archive_writer_free
 *
 * Everything goes to a temporary file beside the target; publish computes what is left, writes the
 * headers and metadata in front, fsyncs, renames over the target and fsyncs the folder. A kill at
 * any moment leaves the old file or the new one. A writer that is freed before it has published
 * leaves the old file and removes the temporary one; temporaries of killed writers are removed by
 * the next save to that folder (they are locked while their writer lives).
 *
 * Images are hashed on all cores while they are written. One thread calls; helper threads are
 * internal. A file published here counts as verified (verified.h).
 *
 * Functions with an `err` return 0 or -errno with *err set:
 *
 *   -ECANCELED     the progress was cancelled (archive_writer_watch())
 *   ERR_FAILED     the errno of a system call on the file (ENOSPC, EDQUOT, EPIPE …); -ENOMEM;
 *                  -ENOSYS: libcrypto or libzstd cannot be loaded; -EINVAL: one of them failed,
 *                  the target is there and no regular file, the description is too large for
 *                  the front of the file, or an image is too large or changed meanwhile
 *   ERR_NOT_FOUND  -ENOENT: the target's folder is missing
 *   ERR_INTEGRITY  -EINVAL: the file a blob comes from is damaged, or two blobs have one role
 *   ERR_USAGE      -EINVAL: appliance_encode() refuses the description, or contents that are to
 *                  be recoded are encrypted and closed
 *
 * and what the source of an image returned. After an error nothing is published: free the writer.
 * The others cannot fail.
 */
#ifndef TORPOR_FORMAT_ARCHIVE_WRITER_H
#define TORPOR_FORMAT_ARCHIVE_WRITER_H

#include "base/blob.h"
#include "base/err.h"
#include "base/progress.h"
#include "format/appliance.h"
#include "format/crypto/keyring.h"
#include "format/image/image.h"
#include "format/oci.h"

struct archive;
struct archive_writer;

/* `target` is a path, or "-": standard output as a stream. */
int archive_writer_open(struct archive_writer **out, const char *target, struct err *err);
/* The same into a temporary file that another process has opened and publishes (tempfile_adopt()):
 * what archive_writer_publish() leaves to that one is the name; all contents are on the disk by
 * then. Also returns -EINVAL with ERR_USAGE when `fd` is not such a file. */
int archive_writer_open_adopted(struct archive_writer **out, int fd, const char *target,
				struct err *err);
/* The same down a pipe or socket, to which `fd` (borrowed) is open, without a temporary file:
 * memory for one part of an image, 32 MiB in most machines, is held instead, and what publish adds
 * comes last. A step that fails leaves half an archive there, which no reader takes. */
int archive_writer_open_stream(struct archive_writer **out, int fd, struct err *err);
/* Images are packed from here on, at this level of zstd; otherwise they are flat. */
void archive_writer_pack(struct archive_writer *w, int level);
void archive_writer_flat(struct archive_writer *w);
/* Encrypt all contents with a new key, locked with what the keyring locks new files with. At first;
 * images are packed then. */
int archive_writer_encrypt(struct archive_writer *w, const struct keyring *keys, struct err *err);
/* What is written is the same appliance as `a`, to be published with archive_writer_publish_as():
 * its contents are given as they are stored there, encrypted or not. At first. */
void archive_writer_like(struct archive_writer *w, const struct archive *a);
/* Report to `progress` (borrowed), which may cancel: whatever comes next then returns -ECANCELED,
 * up to the moment at which the file is in place. At first. */
void archive_writer_watch(struct archive_writer *w, struct progress *progress);
struct progress *archive_writer_progress(const struct archive_writer *w);
/* Copy a blob (kernel, initrd). */
int archive_writer_blob(struct archive_writer *w, const char *role, const struct blob *blob,
			struct err *err);
/* A blob from memory (state, signature). The bytes are copied. */
int archive_writer_bytes(struct archive_writer *w, const char *role, const void *data, size_t len,
			 struct err *err);
/* The state of an open archive, which a cold one has not: then nothing is written. */
int archive_writer_copy_state(struct archive_writer *w, const struct archive *from,
			      struct err *err);
/* A layer that has no part in the appliance's identity (hot set, signature, or one this version
 * does not know), as it stands in another file; a bulk payload if it has to be mapped. */
int archive_writer_layer(struct archive_writer *w, const struct oci_descriptor *d,
			 const struct blob *blob, struct err *err);
/* An image: zero frames are found and left out. The source is read during this call. */
int archive_writer_image(struct archive_writer *w, const char *role,
			 const struct image_source *source, struct err *err);
/* An image that an archive already holds, with the same map and hashes: as it is (reflinked or
 * copied in the kernel where the file systems can), or recoded where it is flat and we pack, or the
 * other way round. */
int archive_writer_copy_image(struct archive_writer *w, const char *role, const struct image *image,
			      struct err *err);
/* The same, encoded anew in any case: at another level. */
int archive_writer_recode_image(struct archive_writer *w, const char *role,
				const struct image *image, struct err *err);
/* Contents and digests are filled into the description on its way into the file. `digest`, if not
 * NULL, becomes the appliance's identity. */
int archive_writer_publish(struct archive_writer *w, const struct appliance *a,
			   char digest[DIGEST_TEXT_SIZE], struct err *err);
/* Publish what makes the same appliance as another file: the bytes of its config, `a`, go into this
 * one as they are. ERR_INTEGRITY, with its role, when a content is not the one that they name. */
int archive_writer_publish_as(struct archive_writer *w, const struct appliance *a,
			      const void *config, size_t len, struct err *err);
/* Bytes of the archive, once it is published. */
uint64_t archive_writer_size(const struct archive_writer *w);
/* Free a writer; unless published, nothing of it remains. NULL is fine. */
void archive_writer_free(struct archive_writer *w);

static inline void archive_writer_cleanup(struct archive_writer **w)
{
	archive_writer_free(*w);
}

#define cleanup_archive_writer __attribute__((cleanup(archive_writer_cleanup)))

#endif
