/*
 * Reading one frame of an image, whatever its encoding: read, decode, check.
 *
 * A reader holds what decoding takes (a zstd context, a SHA-256 context, a buffer); each thread has
 * its own. Packed frames are compared with the hash list on every read: what frame_read() gives is
 * what was saved, or it is an error (ERR_INTEGRITY names the frame's place). Flat frames are read
 * as they lie in the file, which archive_ensure_verified() has looked at before.
 */
#ifndef TORPOR_FORMAT_FRAME_READER_H
#define TORPOR_FORMAT_FRAME_READER_H

#include "format/image.h"

struct frame_reader;

#define cleanup_frame_reader __attribute__((cleanup(frame_reader_cleanup)))

/* `packed`: frames of packed images will be read too; then libzstd and libcrypto are loaded. */
int frame_reader_new(struct frame_reader **out, bool packed, struct err *err);
void frame_reader_free(struct frame_reader *r);

/* Data frame `place` of the image into `frame`. */
int frame_read(struct frame_reader *r, const struct image *image, uint64_t place,
	       uint8_t frame[IMAGE_FRAME], struct err *err);

static inline void frame_reader_cleanup(struct frame_reader **r)
{
	frame_reader_free(*r);
}

#endif
