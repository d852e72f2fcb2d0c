/*
 * Writing the data of an image on all cores: find the zero frames, then hash and write the rest.
 *
 *     image_scan → image_plan → (the caller says where each part goes) → image_write_parts
 *
 * Called from one thread; helper threads are internal and gone on return.
 */
#ifndef TORPOR_FORMAT_IMAGE_WRITE_H
#define TORPOR_FORMAT_IMAGE_WRITE_H

#include "format/image.h"
#include "format/tempfile.h"

struct image_part {
	uint64_t offset; /* in the file, by the caller */
	uint64_t frames;
	uint8_t digest[IMAGE_HASH_SIZE];
};

struct image_plan {
	const struct image_source *source;
	struct image_map map;
	uint64_t part_frames;
	uint32_t nparts;
	struct image_part part[IMAGE_MAX_PARTS];
	uint8_t *hashes; /* owned: map.data_frames of IMAGE_HASH_SIZE */
};

/* Ask the source for every frame and build the map. */
int image_scan(struct image_plan *plan, const struct image_source *source, struct err *err);
/* Cut the data into equal parts, at most `max_parts`, unless that makes them tiny or huge. */
int image_plan_parts(struct image_plan *plan, uint32_t max_parts, struct err *err);
/* Write and hash all parts: fills the digests and the hash list. */
int image_write_parts(struct image_plan *plan, const struct tempfile *file, struct err *err);
void image_plan_free(struct image_plan *plan);

#endif
