/*
 * Packing the data of an image on all cores, in order: what comes out is one stream of packed
 * parts (seek_table.h), each in its turn.
 *
 * Jobs of a few frames are hashed and compressed side by side; their bytes go to the sink in the
 * order of the jobs. So parts need no place before their size is known, and a sink may be a pipe.
 *
 * Returns 0 or -errno: what source or sink gave, -ECANCELED when the plan's progress is cancelled,
 * ERR_FAILED for an image that changes while it is packed or when libzstd or libcrypto fails,
 * -ENOMEM, -ENOSYS when libzstd or libcrypto cannot be loaded.
 */
#ifndef TORPOR_FORMAT_IMAGE_IMAGE_PACK_H
#define TORPOR_FORMAT_IMAGE_IMAGE_PACK_H

#include "format/image/image_write.h"

#define IMAGE_PACK_NONE	     0 /* frames as they are, and no seek table: a flat image */
#define IMAGE_PACK_LEVEL     3 /* of zstd; 19 is a seventh smaller and takes 74 times as long */
#define IMAGE_PACK_MAX_LEVEL 19

/* One call at a time, on any thread of the pack. */
struct image_sink {
	/* Take these bytes of the part. */
	int (*write)(void *opaque, const void *data, size_t len, struct err *err);
	/* The part (number `index`) is complete. */
	int (*end)(void *opaque, uint32_t index, uint64_t size, const uint8_t *digest,
		   struct err *err);
	void *opaque;
};

/* A plan made by image_scan() and image_plan_packed(); fills its hash list. A plan with a
 * key is for packing only. */
int image_pack(struct image_plan *plan, int level, const struct image_sink *sink, struct err *err);

#endif
