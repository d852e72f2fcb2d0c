/*
 * Reading one frame of an image, whatever its encoding: read, decrypt, decode, check.
 *
 * A reader holds what decoding takes (a zstd context, a SHA-256 context, a buffer), made when the
 * first packed frame is read; each thread has its own, or borrows one from a pool. Packed frames
 * are compared with the hash list on every read: what comes out is what was saved, or it is an
 * error (ERR_INTEGRITY, "frame 812 of memory.0: SHA-256 differs"). Flat frames are read as they lie
 * in the file, which archive_ensure_verified() has looked at before; those of an image that is
 * still arriving (image.checked) are waited for and compared, too. One that arrived wrong is
 * fetched once more before it is an error.
 *
 * All return 0 or -errno: ERR_INTEGRITY for a frame that is damaged or a file that ends early,
 * ERR_USAGE for an encrypted image without its key, the errno of pread(2), what arrival_await()
 * gave, -ENOMEM, -ENOSYS when
 * libzstd or libcrypto cannot be loaded, ERR_FAILED when libcrypto fails. frame_reader_new()
 * returns 0 or -ENOMEM alone. The others cannot fail.
 */
#ifndef TORPOR_FORMAT_IMAGE_FRAME_READER_H
#define TORPOR_FORMAT_IMAGE_FRAME_READER_H

#include <pthread.h>

#include "format/image/image.h"

struct frame_reader;

#define cleanup_frame_reader __attribute__((cleanup(frame_reader_cleanup)))

int frame_reader_new(struct frame_reader **out, struct err *err);
/* Load what packed frames take now and not with the first of them. */
int frame_reader_prepare(struct frame_reader *r, struct err *err);
void frame_reader_free(struct frame_reader *r);

/* Data frame `place` of the image into `frame`. */
int frame_read(struct frame_reader *r, const struct image *image, uint64_t place,
	       uint8_t frame[FRAME_SIZE], struct err *err);

static inline void frame_reader_cleanup(struct frame_reader **r)
{
	frame_reader_free(*r);
}

/* For callbacks that do not know which thread they run on: as many readers as ever read at once. */
struct frame_readers {
	pthread_mutex_t lock;
	struct frame_reader *idle; /* owned list */
};

void frame_readers_init(struct frame_readers *pool);
void frame_readers_free(struct frame_readers *pool);
#define cleanup_frame_readers __attribute__((cleanup(frame_readers_free)))
/* frame_read() with any of them. Any thread. */
int frame_readers_read(struct frame_readers *pool, const struct image *image, uint64_t place,
		       uint8_t frame[FRAME_SIZE], struct err *err);

#endif
