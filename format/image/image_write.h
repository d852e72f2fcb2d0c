/*
 * Writing the data of an image on all cores: find what need not be written, then hash and write the
 * rest.
 *
 *     image_scan → image_plan_parts → (the caller says where each part goes) → image_write_parts
 *     image_scan → image_plan_packed → image_pack (image_pack.h)
 *
 * Called from one thread; helper threads are internal and gone on return.
 *
 * Functions that return int return 0 or -errno: what the source gave, -ECANCELED once the progress
 * is cancelled, ERR_FAILED for an image that is empty, too large or has too many extents, that
 * changes while it is written, or when libcrypto fails, -ENOMEM, -ENOSYS when libcrypto cannot be
 * loaded, or what tempfile_error() gives for a failed write. The others cannot fail.
 * image_plan_free() also after an error.
 */
#ifndef TORPOR_FORMAT_IMAGE_IMAGE_WRITE_H
#define TORPOR_FORMAT_IMAGE_IMAGE_WRITE_H

#include "base/progress.h"
#include "base/tempfile.h"
#include "format/image/image.h"

struct image_part {
	uint64_t offset; /* in the file, by the caller */
	uint64_t frames;
	uint8_t digest[IMAGE_HASH_SIZE];
};

struct image_plan {
	const struct image_source *source;
	struct progress *progress; /* borrowed; NULL: none */
	struct image_map map;
	uint64_t part_frames;
	uint32_t nparts;
	struct image_part part[IMAGE_MAX_PARTS];
	uint8_t *hashes; /* owned: map.data_frames of IMAGE_HASH_SIZE */
	bool hashed;	 /* already, by image_scan(), which had to compare them */
	/* Not NULL: packed frames are encrypted with this, as those of `role`. */
	const struct data_key *key;
	const char *role;
};

/* image_scan.c. Ask the source for every frame and build the map: what is zero, and what is the
 * same in the source's parent. `progress` may be NULL; once it is cancelled, this and what follows
 * return -ECANCELED. */
int image_scan(struct image_plan *plan, const struct image_source *source,
	       struct progress *progress, struct err *err);
/* Cut the data into equal parts, at most `max_parts`, unless that makes them tiny or huge. */
void image_plan_parts(struct image_plan *plan, uint32_t max_parts);
/* The same with `part_frames` in each, or more where that would be too many parts; but in no part
 * more than a reader takes, even when that makes too many. ERR_FAILED: too much data for
 * IMAGE_MAX_PARTS of them. */
int image_plan_packed(struct image_plan *plan, uint64_t part_frames, uint32_t max_parts,
		      struct err *err);
/* The frame whose data is the plan's number `place`, found from `*extent` on, which moves along:
 * begin with 0 and ask with ascending places. */
uint64_t image_plan_frame(const struct image_plan *plan, uint64_t place, uint32_t *extent);
/* The data of that frame, in `scratch` or where the source has it. Any thread. */
int image_plan_read(const struct image_plan *plan, uint64_t index, uint8_t *scratch,
		    const uint8_t **data, struct err *err);
/* Write and hash all parts: fills the digests and the hash list. */
int image_write_parts(struct image_plan *plan, const struct tempfile *file, struct err *err);
void image_plan_free(struct image_plan *plan);

#endif
