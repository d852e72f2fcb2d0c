/*
 * Images: the contents of a RAM range or a disk, as frames of 64 KiB.
 *
 * An image in a file is an extent map plus blob parts. The map says for each run of frames whether
 * it is data (and at which frame of the concatenated parts), zero, or as in the image underneath
 * ("parent": a disk overlay shows its base there). Runs ascend, do not overlap, and tile the image;
 * image_map_decode() has checked that and that every data run lies inside the parts.
 *
 * The last frame of a disk may be partial; in a blob it is padded with zeros to a whole frame.
 *
 * On disk, the extent map: "TORPORMP" | le32 version (1) | le32 extents | le64 image bytes |
 * le64 data frames | extents of { le64 first frame | le32 frames | le32 kind | le64 place }.
 * The hash list: one SHA-256 for each data frame, in the order of place.
 */
#ifndef TORPOR_FORMAT_IMAGE_H
#define TORPOR_FORMAT_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "format/blob.h"
#include "vmm/base/buf.h"
#include "vmm/base/err.h"

#define IMAGE_FRAME	  65536u
#define IMAGE_MAX_BYTES	  (UINT64_C(1) << 46)
#define IMAGE_MAX_EXTENTS (1u << 20)
#define IMAGE_MAX_PARTS	  96u
#define IMAGE_HASH_SIZE	  32u

enum extent_kind {
	EXTENT_DATA = 1,
	EXTENT_ZERO = 2,
	EXTENT_PARENT = 3,
};

struct extent {
	uint64_t frame;	 /* first frame in the image */
	uint32_t frames; /* > 0 */
	uint32_t kind;	 /* enum extent_kind */
	uint64_t place;	 /* EXTENT_DATA: first frame in the concatenated parts; else 0 */
};

struct image_map {
	uint64_t size; /* bytes of the image */
	uint64_t data_frames;
	uint32_t nextents;
	struct extent *extents; /* owned */
};

void image_map_free(struct image_map *map);
/* Append one frame to a map under construction; adjacent equal kinds become one extent. */
int image_map_append(struct image_map *map, uint32_t kind, struct err *err);
void image_map_encode(const struct image_map *map, struct buf *out);
/* Decode and check everything the comment above promises. ERR_INTEGRITY. */
int image_map_decode(struct image_map *map, const uint8_t *data, size_t len, struct err *err);
/* The extent that holds `frame` (which must be inside the image). Binary search. */
const struct extent *image_map_find(const struct image_map *map, uint64_t frame);

/* A map with its data. All parts but the last hold exactly `part_frames` frames. */
struct image {
	struct image_map map;
	uint32_t nparts;
	uint64_t part_frames;
	struct blob part[IMAGE_MAX_PARTS]; /* fds borrowed from the archive */
	uint8_t part_digest[IMAGE_MAX_PARTS][IMAGE_HASH_SIZE];
	struct blob hashes; /* the hash list; len 0 when there are no data frames */
};

void image_free(struct image *image);
/* Where data frame `place` lies; *run is how many frames from there (at most `want`) are
 * contiguous. */
struct blob image_place(const struct image *image, uint64_t place, uint64_t want, uint64_t *run);

/* Where the frames of an image to be written come from. */
struct image_source {
	uint64_t size; /* bytes */
	void *opaque;
	/* Give frame `index`: its kind, and for data a pointer to IMAGE_FRAME bytes, either the
	 * source's own (stable until the save ends) or `scratch` after filling it. A source may
	 * call data what is zero: the writer looks. Called from several threads at once, each with
	 * its own scratch; must not modify the source. */
	int (*frame)(void *opaque, uint64_t index, uint8_t *scratch, const uint8_t **data,
		     enum extent_kind *kind, struct err *err);
};

#endif
