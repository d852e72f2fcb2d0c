/* Extent maps: building, golden bytes, lookups, and every way in which one can lie. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "format/image/image.h"

/* Seven frames, the last one partial: data data zero data parent parent data. */
static const uint8_t kinds[] = {1, 1, 2, 1, 3, 3, 1};
#define SIZE (7 * FRAME_SIZE - 512)

static struct image_map make(void)
{
	struct image_map map = {.size = SIZE};

	for (size_t i = 0; i < sizeof(kinds); i++)
		cr_assert(eq(int, image_map_append(&map, kinds[i], 1, NULL), 0));
	return map;
}

/* clang-format off */
static const uint8_t golden[] = {
	'T', 'O', 'R', 'P', 'O', 'R', 'M', 'P', 1, 0, 0, 0, 5, 0, 0, 0,
	0, 0xfe, 6, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
	4, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	6, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0,
};
/* clang-format on */

Test(image, the_map_is_golden)
{
	struct image_map map = make();
	struct buf out = {0};

	image_map_encode(&map, &out);
	cr_assert(eq(sz, out.len, sizeof(golden)));
	cr_assert_arr_eq(out.data, golden, sizeof(golden));
	buf_free(&out);
	image_map_free(&map);
}

Test(image, every_frame_is_found)
{
	struct image_map map;
	struct err err = {0};

	cr_assert(eq(int, image_map_decode(&map, golden, sizeof(golden), &err), 0), "%s", err.text);
	for (uint64_t frame = 0; frame < sizeof(kinds); frame++) {
		const struct extent *e = image_map_find(&map, frame);

		cr_assert(le(u64, e->frame, frame));
		cr_assert(lt(u64, frame, e->frame + e->frames));
		cr_assert(eq(u32, e->kind, kinds[frame]));
	}
	image_map_free(&map);
}

Test(image, many_extents)
{
	struct image_map map = {.size = 5000 * (uint64_t)FRAME_SIZE}, again;
	struct buf out = {0};
	struct err err = {0};

	for (unsigned i = 0; i < 5000; i++)
		cr_assert(eq(int, image_map_append(&map, 1 + i % 2, 1, NULL), 0));
	image_map_encode(&map, &out);
	cr_assert(eq(int, image_map_decode(&again, out.data, out.len, &err), 0), "%s", err.text);
	cr_assert(eq(u32, again.nextents, 5000));
	cr_assert(eq(u64, image_map_find(&again, 4998)->place, 2499));
	buf_free(&out);
	image_map_free(&map);
	image_map_free(&again);
}

static int decode(const uint8_t *data, size_t len, struct image_map *map)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);
	int ret;

	memcpy(copy, data, len);
	ret = image_map_decode(map, copy, len, NULL);
	free(copy);
	return ret;
}

Test(image, every_truncation_and_addition_is_refused)
{
	uint8_t longer[sizeof(golden) + 24] = {0};
	struct image_map map;

	for (size_t len = 0; len < sizeof(golden); len++)
		cr_assert(lt(int, decode(golden, len, &map), 0), "%zu bytes pass", len);
	memcpy(longer, golden, sizeof(golden));
	cr_assert(lt(int, decode(longer, sizeof(golden) + 1, &map), 0));
	cr_assert(lt(int, decode(longer, sizeof(longer), &map), 0));
}

/* What image_map_decode() promises, checked the slow way. */
static void check_promises(const struct image_map *map)
{
	uint64_t next = 0;

	for (uint32_t i = 0; i < map->nextents; i++) {
		const struct extent *e = &map->extents[i];

		cr_assert(eq(u64, e->frame, next));
		cr_assert(ge(u32, e->frames, 1));
		if (e->kind == EXTENT_DATA)
			cr_assert(le(u64, e->place + e->frames, map->data_frames));
		next += e->frames;
	}
	cr_assert(eq(u64, next, align_up(map->size, FRAME_SIZE) / FRAME_SIZE));
}

Test(image, what_decodes_is_canonical_whatever_byte_changes)
{
	uint8_t bytes[sizeof(golden)];

	for (size_t at = 0; at < sizeof(golden); at++) {
		for (unsigned value = 0; value < 256; value++) {
			struct buf again = {0};
			struct image_map map;

			memcpy(bytes, golden, sizeof(bytes));
			bytes[at] = (uint8_t)value;
			if (decode(bytes, sizeof(bytes), &map) < 0)
				continue;
			check_promises(&map);
			image_map_encode(&map, &again);
			cr_assert(eq(sz, again.len, sizeof(bytes)));
			cr_assert_arr_eq(again.data, bytes, sizeof(bytes), "byte %zu = %u", at,
					 value);
			buf_free(&again);
			image_map_free(&map);
		}
	}
}

struct lie {
	char name[40];
	size_t at;
	uint8_t value;
};

Test(image, lies_are_refused)
{
	static const struct lie lies[] = {
		{"another version", 8, 2},
		{"overlap", 32 + 24, 1},
		{"gap", 32 + 24, 3},
		{"no frames", 32 + 24 + 8, 0},
		{"frames beyond the end", 32 + 4 * 24 + 8, 2},
		{"unknown kind", 32 + 12, 4},
		{"place beyond the data", 32 + 4 * 24 + 16, 4},
		{"a zero extent with a place", 32 + 24 + 16, 1},
		{"extents that could be one", 32 + 24 + 12, 1},
		{"fewer data frames", 24, 3},
		{"another size", 18, 7},
	};
	uint8_t bytes[sizeof(golden)];
	struct image_map map;

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		memcpy(bytes, golden, sizeof(bytes));
		bytes[lies[i].at] = lies[i].value;
		if (strcmp(lies[i].name, "extents that could be one") == 0)
			bytes[32 + 24 + 16] = 2; /* behind the extent before it */
		cr_assert(lt(int, decode(bytes, sizeof(bytes), &map), 0), "%s", lies[i].name);
	}
}

Test(image, absurd_sizes_allocate_nothing)
{
	uint8_t bytes[32];
	struct image_map map;

	memcpy(bytes, golden, sizeof(bytes));
	memset(bytes + 12, 0xff, 20);
	cr_assert(lt(int, decode(bytes, sizeof(bytes), &map), 0));
}

Test(image, places_cross_parts)
{
	struct image image = {.nparts = 3, .part_frames = 4};
	struct blob got;
	uint64_t run;

	image.map.data_frames = 10;
	for (uint32_t i = 0; i < 3; i++)
		image.part[i] = (struct blob){.fd = 7,
					      .offset = 1000000 * (uint64_t)(i + 1),
					      .len = (i < 2 ? 4 : 2) * (uint64_t)FRAME_SIZE};
	got = image_place(&image, 5, 5, &run);
	cr_assert(eq(u64, run, 3));
	cr_assert(eq(u64, got.offset, 2000000 + FRAME_SIZE));
	cr_assert(eq(u64, got.len, 3 * (uint64_t)FRAME_SIZE));
	cr_assert(eq(int, got.fd, 7));
	got = image_place(&image, 8, 2, &run);
	cr_assert(eq(u64, run, 2));
	cr_assert(eq(u64, got.offset, 3000000));
	image_place(&image, 0, 1, &run);
	cr_assert(eq(u64, run, 1));
}
