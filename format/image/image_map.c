/* Extent maps: building, the bytes on disk, looking up; see image.h. Pure. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/assert.h"
#include "base/num.h"
#include "format/image/image.h"

#define MAGIC	    "TORPORMP"
#define MAGIC_SIZE  8u
#define VERSION	    1u
#define HEAD_SIZE   32u
#define EXTENT_SIZE 24u

void image_map_free(struct image_map *map)
{
	free(map->extents);
	*map = (struct image_map){0};
}

static uint64_t map_frames(const struct image_map *map)
{
	const struct extent *last;

	if (map->nextents == 0)
		return 0;
	last = &map->extents[map->nextents - 1];
	return last->frame + last->frames;
}

int image_map_append(struct image_map *map, uint32_t kind, uint64_t frames, struct err *err)
{
	while (frames > 0) {
		struct extent *extent = map->nextents > 0 ? &map->extents[map->nextents - 1] : NULL;
		uint64_t taken;

		/* Data extents follow one another in the blob while a map is built: the kind
		 * decides. */
		if (extent == NULL || extent->kind != kind || extent->frames == UINT32_MAX) {
			struct extent *grown;

			if (map->nextents == IMAGE_MAX_EXTENTS)
				return err_set(err, ERR_FAILED, "more than %u extents in an image",
					       IMAGE_MAX_EXTENTS);
			grown = array_grow(map->extents, map->nextents, sizeof(*grown));
			if (grown == NULL)
				return err_sys(err, ENOMEM, "map an image");
			map->extents = grown;
			extent = &map->extents[map->nextents];
			*extent = (struct extent){
				.frame = map_frames(map),
				.kind = kind,
				.place = map->data_frames,
			};
			map->nextents++;
		}
		taken = u64_min(frames, UINT32_MAX - extent->frames);
		extent->frames += (uint32_t)taken;
		frames -= taken;
		if (kind == EXTENT_DATA)
			map->data_frames += taken;
	}
	return 0;
}

void image_map_encode(const struct image_map *map, struct buf *out)
{
	buf_add(out, MAGIC, MAGIC_SIZE);
	buf_add_le32(out, VERSION);
	buf_add_le32(out, map->nextents);
	buf_add_le64(out, map->size);
	buf_add_le64(out, map->data_frames);
	for (uint32_t i = 0; i < map->nextents; i++) {
		buf_add_le64(out, map->extents[i].frame);
		buf_add_le32(out, map->extents[i].frames);
		buf_add_le32(out, map->extents[i].kind);
		buf_add_le64(out, map->extents[i].kind == EXTENT_DATA ? map->extents[i].place : 0);
	}
}

static int map_damaged(struct err *err, const char *what)
{
	return err_set(err, ERR_INTEGRITY, "extent map: %s", what);
}

/* Extents that could have been one would be a second encoding of the same map. */
static bool could_merge(const struct extent *a, const struct extent *b)
{
	return a->kind == b->kind && (uint64_t)a->frames + b->frames <= UINT32_MAX;
}

/* `expected` is where it must begin, `place` where the next data is. */
static int check_extent(const struct image_map *map, uint32_t index, uint64_t expected,
			uint64_t place, uint64_t total, struct err *err)
{
	const struct extent *e = &map->extents[index];

	if (e->frame != expected || e->frames == 0 || e->frames > total - expected)
		return map_damaged(err, "extents do not tile the image");
	if (e->kind < EXTENT_DATA || e->kind > EXTENT_PARENT)
		return map_damaged(err, "an extent of unknown kind");
	if (e->kind != EXTENT_DATA && e->place != 0)
		return map_damaged(err, "an extent without data has a place");
	if (e->kind == EXTENT_DATA && e->place != place)
		return map_damaged(err, "the data is not in order");
	if (e->kind == EXTENT_DATA && !range_within(place, e->frames, map->data_frames))
		return map_damaged(err, "an extent lies outside the data");
	if (index > 0 && could_merge(e - 1, e))
		return map_damaged(err, "two extents should be one");
	return 0;
}

static int decode_extents(struct image_map *map, const uint8_t *at, struct err *err)
{
	uint64_t total = (map->size + FRAME_SIZE - 1) / FRAME_SIZE, expected = 0, place = 0;

	for (uint32_t i = 0; i < map->nextents; i++, at += EXTENT_SIZE) {
		int ret;

		map->extents[i] = (struct extent){
			.frame = le_get64(at),
			.frames = le_get32(at + 8),
			.kind = le_get32(at + 12),
			.place = le_get64(at + 16),
		};
		ret = check_extent(map, i, expected, place, total, err);
		if (ret < 0)
			return ret;
		map->extents[i].place = place;
		expected += map->extents[i].frames;
		place += map->extents[i].kind == EXTENT_DATA ? map->extents[i].frames : 0;
	}
	if (expected != total)
		return map_damaged(err, "extents do not tile the image");
	return place == map->data_frames ? 0
					 : map_damaged(err, "there is data that belongs nowhere");
}

static int map_decode(struct image_map *map, const uint8_t *data, size_t len, struct err *err)
{
	if (len < HEAD_SIZE || memcmp(data, MAGIC, MAGIC_SIZE) != 0)
		return map_damaged(err, "not an extent map");
	if (le_get32(data + 8) != VERSION)
		return err_set(err, ERR_INCOMPATIBLE,
			       "extent map: version %u, this torpor reads %u", le_get32(data + 8),
			       VERSION);
	map->nextents = le_get32(data + 12);
	map->size = le_get64(data + 16);
	map->data_frames = le_get64(data + 24);
	if (map->nextents > IMAGE_MAX_EXTENTS ||
	    len != HEAD_SIZE + (size_t)map->nextents * EXTENT_SIZE)
		return map_damaged(err, "wrong length");
	if (map->size == 0 || map->size > IMAGE_MAX_BYTES ||
	    map->data_frames > IMAGE_MAX_BYTES / FRAME_SIZE)
		return map_damaged(err, "wrong size");
	map->extents = calloc(map->nextents + 1u, sizeof(map->extents[0]));
	if (map->extents == NULL)
		return err_sys(err, ENOMEM, "read an extent map");
	return decode_extents(map, data + HEAD_SIZE, err);
}

int image_map_decode(struct image_map *map, const uint8_t *data, size_t len, struct err *err)
{
	int ret;

	*map = (struct image_map){0};
	ret = map_decode(map, data, len, err);
	if (ret < 0)
		image_map_free(map);
	return ret;
}

const struct extent *image_map_find(const struct image_map *map, uint64_t frame)
{
	return &map->extents[last_not_above(&map->extents[0].frame, sizeof(map->extents[0]),
					    map->nextents, frame)];
}

uint64_t image_map_frame_at(const struct image_map *map, uint64_t place)
{
	/* Of several that begin there, the last is the one that has data. */
	const struct extent *e = &map->extents[last_not_above(
		&map->extents[0].place, sizeof(map->extents[0]), map->nextents, place)];

	assert(place < map->data_frames);
	return e->frame + (place - e->place);
}
