/* Extent maps, one on top of another: two bytes give the length of the first, the second is the
 * rest. A map has one encoding; what a stack resolves to tiles the image. */
#include <string.h>

#include "base/num.h"
#include "format/image/stack.h"
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

static void check_runs(const struct runs *runs)
{
	uint64_t frame = 0;

	for (size_t i = 0; i < runs->n; i++) {
		const struct run *run = &runs->run[i];

		fuzz_require(run->frame == frame && run->frames > 0);
		fuzz_require(run->image == NULL ||
			     range_within(run->place, run->frames, run->image->map.data_frames));
		fuzz_require(runs_find(runs, frame) == run);
		frame += run->frames;
	}
	fuzz_require(frame == align_up(runs->size, FRAME_SIZE) / FRAME_SIZE);
}

static void stack_up(const struct image *upper, const struct image *lower)
{
	struct stack stack = {0};
	struct runs runs;
	struct err err = {0};
	int ret = stack_push(&stack, upper, &err);

	if (ret == 0)
		ret = stack_push(&stack, lower, &err);
	if (ret == 0) {
		ret = stack_resolve(&stack, &runs, &err);
		if (ret == 0) {
			check_runs(&runs);
			runs_free(&runs);
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
