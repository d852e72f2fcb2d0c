/* Extent maps, one on top of another: two bytes give the length of the first, the second is the
 * rest. A map has one encoding; what a stack resolves to tiles the image. */
#include <string.h>

#include "base/num.h"
#include "format/image/layers.h"
#include "tests/fuzz/fuzz.h"

static int decode(struct image *image, const uint8_t *data, size_t len)
{
	struct buf again = {0};
	struct err err = {0};
	int ret = image_map_decode(&image->map, data, len, &err);

	fuzz_require_reason(ret, &err);
	if (ret < 0)
		return ret;
	image_map_encode(&image->map, &again);
	fuzz_require(again.len == len && memcmp(again.data, data, len) == 0);
	buf_free(&again);
	return 0;
}

static void check_lookup(const struct image_map *map)
{
	for (uint32_t i = 0; i < map->nextents; i++) {
		const struct extent *e = &map->extents[i];

		fuzz_require(image_map_find(map, e->frame) == e);
		fuzz_require(image_map_find(map, e->frame + e->frames - 1) == e);
	}
}

static void check_runs(const struct layer_extents *extents)
{
	uint64_t frame = 0;

	for (size_t i = 0; i < extents->n; i++) {
		const struct layer_extent *extent = &extents->extent[i];

		fuzz_require(extent->frame == frame && extent->frames > 0);
		fuzz_require(extent->image == NULL || range_within(extent->place, extent->frames,
								   extent->image->map.data_frames));
		fuzz_require(layer_extents_find(extents, frame) == extent);
		frame += extent->frames;
	}
	fuzz_require(frame == align_up(extents->size, FRAME_SIZE) / FRAME_SIZE);
}

static void stack_up(const struct image *upper, const struct image *lower)
{
	struct image_layers layers = {0};
	struct layer_extents extents;
	struct err err = {0};
	int ret = image_layers_push(&layers, upper, &err);

	if (ret == 0)
		ret = image_layers_push(&layers, lower, &err);
	if (ret == 0) {
		ret = image_layers_resolve(&layers, &extents, &err);
		if (ret == 0) {
			check_runs(&extents);
			layer_extents_free(&extents);
		}
	}
	fuzz_require_reason(ret, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct image upper, lower; /* large */
	size_t first;

	if (size < 2)
		return 0;
	first = u64_min(le_get16(data), size - 2);
	if (decode(&upper, data + 2, first) < 0)
		return 0;
	check_lookup(&upper.map);
	if (decode(&lower, data + 2 + first, size - 2 - first) == 0) {
		stack_up(&upper, &lower);
		image_map_free(&lower.map);
	}
	image_map_free(&upper.map);
	return 0;
}
