/*
 * Frames that were unpacked or compared lately, of all the images of one appliance. Its disks share one cache,
 * so that what they keep in memory has one bound, and what several of them lie over is unpacked once for all.
 *
 * A frame has a few places that it may be in; the one of them that was asked for longest ago makes room.
 * Memory is taken with the first frame that needs it.
 *
 * Any thread, several at once. Frames are unpacked without a lock: two threads may do that with one frame. An
 * image must not be freed, and its memory used for another one, before the cache is.
 */
#ifndef TORPOR_FORMAT_IMAGE_FRAME_CACHE_H
#define TORPOR_FORMAT_IMAGE_FRAME_CACHE_H

#include <stdbool.h>

#include "format/image/image.h"

struct frame_cache;

/* For at most `frames` frames, rounded up to whole rows of FRAME_CACHE_WAYS. Returns 0 or -ENOMEM. */
#define FRAME_CACHE_WAYS 8u
int frame_cache_new(struct frame_cache **out, unsigned frames, struct err *err);
/* NULL: nothing is done. */
void frame_cache_free(struct frame_cache *cache);

/* Bytes [off, off + len) of the image's data frame `place`, when it is here. False: it is not. */
bool frame_cache_copy(struct frame_cache *cache, const struct image *image, uint64_t place,
		      uint64_t off, void *dst, uint64_t len);
/* The same of a frame that is read, and kept. Returns 0, -ENOMEM, or what frame_readers_read() gives: then
 * nothing is kept. */
int frame_cache_load(struct frame_cache *cache, const struct image *image, uint64_t place,
		     uint64_t off, void *dst, uint64_t len, struct err *err);

#endif
