/*
 * Images: the contents of a RAM range or a disk, as frames of 64 KiB.
 *
 * An image in a file is an extent map plus blob parts. The map says for each run of frames whether
 * it is data (and at which frame of the concatenated parts), zero, or as in the image underneath
 * ("parent": a disk overlay shows its base there, an increment its parent). Runs ascend, do not
 * overlap, and tile the image; their data has the same order, and all of it belongs to one of them:
 * image_map_decode() has checked that.
 *
 * The last frame of a disk may be partial; in a blob it is padded with zeros to a whole frame.
 *
 * The parts of an image are all flat (the frames as they are) or all packed (the zstd seekable
 * format, seek_table.h). Map, hash list and the order of the frames are the same for both.
 *
 * On disk, the extent map: "TORPORMP" | le32 version (1) | le32 extents | le64 image bytes |
 * le64 data frames | extents of { le64 first frame | le32 frames | le32 kind | le64 place }.
 * The hash list: one SHA-256 for each data frame, in the order of place.
 */
#ifndef TORPOR_FORMAT_IMAGE_IMAGE_H
#define TORPOR_FORMAT_IMAGE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/frame.h"

#define IMAGE_MAX_BYTES	  (UINT64_C(1) << 46)
#define IMAGE_MAX_EXTENTS (1u << 20)
#define IMAGE_MAX_PARTS	  96u
#define IMAGE_HASH_SIZE	  32u

struct data_key;

enum extent_kind {
	EXTENT_DATA = 1,
	EXTENT_ZERO = 2,
	EXTENT_PARENT = 3,
};

struct extent {
	uint64_t frame;	 /* first frame in the image */
	uint32_t frames; /* > 0 */
	uint32_t kind;	 /* enum extent_kind */
	uint64_t place;	 /* first frame in the parts; of other kinds: the data frames before */
};

struct image_map {
	uint64_t size; /* bytes of the image */
	uint64_t data_frames;
	uint32_t nextents;
	struct extent *extents; /* owned */
};

void image_map_free(struct image_map *map);
/* Append frames of one kind to a map under construction; adjacent equal kinds become one extent.
 * -ENOMEM, or ERR_FAILED when there are IMAGE_MAX_EXTENTS. */
int image_map_append(struct image_map *map, uint32_t kind, uint64_t frames, struct err *err);
/* Without memory: buf_failed(). */
void image_map_encode(const struct image_map *map, struct buf *out);
/* Decode and check everything the comment above promises. ERR_INTEGRITY, ERR_INCOMPATIBLE for
 * another version, -ENOMEM. */
int image_map_decode(struct image_map *map, const uint8_t *data, size_t len, struct err *err);
/* The extent that holds `frame` (which must be inside the image). Binary search. */
const struct extent *image_map_find(const struct image_map *map, uint64_t frame);
/* The frame whose data is at `place`, of those there are. */
uint64_t image_map_frame_at(const struct image_map *map, uint64_t place);

enum image_encoding {
	IMAGE_FLAT,
	IMAGE_PACKED,
};

/* A map with its data. All parts but the last hold exactly `part_frames` frames. */
struct image {
	const char *role; /* "memory.0"; borrowed */
	struct image_map map;
	enum image_encoding encoding;
	uint32_t nparts;
	uint64_t part_frames;
	struct blob part[IMAGE_MAX_PARTS]; /* fds borrowed from the archive */
	uint8_t part_digest[IMAGE_MAX_PARTS][IMAGE_HASH_SIZE];
	struct blob hashes; /* the hash list; len 0 when there are no data frames */
	/* Frames and hash list are encrypted (cipher.h); without the key they cannot be read. */
	bool encrypted;
	const struct data_key *key; /* borrowed from the archive */
	/* The hot set, or lengths of 0: frames that are touched first, flat, and le64 places. */
	struct blob hot;
	struct blob hotlist;
	/* Nobody has hashed the file, for it is still arriving: each frame is compared with the
	 * hash list when it is read, flat ones too. Nothing of it may be mapped. */
	bool checked;
	uint32_t *hot_at;    /* owned; NULL, or for each place 1 + where in the hot set it is; 0 */
	uint32_t *hot_place; /* owned, with hot_at: the places in the order of the hot set */
	uint8_t *hash_list;  /* owned; its bytes, once they are loaded */
	/* Packed: of each part where its frames begin in it, and, behind those, where the last one
	 * ends. Owned; NULL: not read yet, which only happens to an image that is `checked`. Any
	 * thread may read one (image_load_table()); what is there stays as it is. */
	uint32_t **table;
};

void image_free(struct image *image);
/* -EINVAL and ERR_USAGE when it is encrypted and the key is not there. */
int image_check_open(const struct image *image, struct err *err);
/* Load the hash list, if it is not there: 0, the error of image_check_open() or of
 * blob_read_all(). */
int image_load_hashes(struct image *image, struct err *err);
/* Where data frame `place` of a flat image lies; *run is how many frames from there (at most
 * `want`) are contiguous. */
struct blob image_place(const struct image *image, uint64_t place, uint64_t want, uint64_t *run);
/* Read the seek table of the part that holds frame `place`, unless it is there: it may still have to
 * arrive. What arrived wrong is asked for once more. Any thread. Returns 0, -ENOMEM, ERR_INTEGRITY,
 * or what blob_read() gives. */
int image_load_table(const struct image *image, uint64_t place, struct err *err);
/* Where the seek table of part `part` lies, and some bytes before it. */
struct blob image_table_place(const struct image *image, uint32_t part);
/* Where the one packed frame `place` lies, whose part's table is there. */
struct blob image_packed_place(const struct image *image, uint64_t place);
/* Where frame `place` is read from: the hot set, if that arrives with it, else its part, whose table
 * must be there (image_has_table()). */
struct blob image_frame_place(const struct image *image, uint64_t place, bool *packed);
/* image_frame_place() can tell: of a frame of the hot set, or of a part whose table is there. */
bool image_has_table(const struct image *image, uint64_t place);
/* It can be read without a wait. */
bool image_frame_is_there(const struct image *image, uint64_t place);
/* `frames` frames from `place` on will be read next: have them fetched together. Waits for the tables
 * of their parts, as reading the frames would; what goes wrong there goes wrong again then. */
void image_want_frames(const struct image *image, uint64_t place, uint64_t frames);

struct layer_extents;

/* Where the frames of an image to be written come from. */
struct image_source {
	uint64_t size; /* bytes */
	void *opaque;
	/* Give frame `index`: its kind, and for data a pointer to FRAME_SIZE bytes, either the
	 * source's own (stable until the save ends) or `scratch` after filling it. A source may
	 * call data what is zero: the writer looks. Called from several threads at once, each with
	 * its own scratch; must not modify the source. */
	int (*frame)(void *opaque, uint64_t index, uint8_t *scratch, const uint8_t **data,
		     enum extent_kind *kind, struct err *err);
	/* NULL, or what is known without reading: how many frames from `index` on (1 to `most`) are
	 * of one *kind. EXTENT_DATA: frame() must be asked for each. So the work of a scan grows
	 * with the data, not with the size of the image. Called from one thread, before any
	 * frame(). */
	uint64_t (*extent)(void *opaque, uint64_t index, uint64_t most, enum extent_kind *kind);
	/* The kinds it gives are right, and no data frame is zero: then `scratch` is NULL when only
	 * the kind is wanted. */
	bool exact;
	/* NULL, or what the image was before: frames that are the same there become EXTENT_PARENT.
	 * Hash lists of all images in it are loaded. */
	const struct layer_extents *parent;
};

#endif
