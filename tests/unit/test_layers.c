/* Images on top of one another against the slow way of asking, and what a scan makes of a
 * parent. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "format/crypto/digest.h"
#include "format/image/image_write.h"
#include "format/image/layers.h"

/* An image of these kinds ('1' data, '2' zero, '3' parent). */
static void make(struct image *image, const char *kinds)
{
	*image = (struct image){.map.size = strlen(kinds) * FRAME_SIZE};
	for (size_t i = 0; kinds[i] != '\0'; i++)
		cr_assert(eq(int,
			     image_map_append(&image->map, (uint32_t)(kinds[i] - '0'), 1, NULL),
			     0));
}

/* What a frame is, asked image by image. */
static void ask(const struct image_layers *layers, uint64_t frame, const struct image **image,
		uint64_t *place)
{
	*image = NULL;
	*place = 0;
	for (unsigned i = 0; i < layers->n; i++) {
		const struct extent *e = image_map_find(&layers->image[i]->map, frame);

		if (e->kind == EXTENT_ZERO)
			return;
		if (e->kind == EXTENT_DATA) {
			*image = layers->image[i];
			*place = e->place + (frame - e->frame);
			return;
		}
	}
	cr_assert(false, "frame %d has no parent", (int)frame);
}

static void check_runs(const struct image_layers *layers, const struct layer_extents *extents)
{
	uint64_t frames = layers->image[0]->map.size / FRAME_SIZE, next = 0, data = 0;

	cr_assert(eq(u64, extents->size, layers->image[0]->map.size));
	for (size_t i = 0; i < extents->n; i++) {
		const struct layer_extent *extent = &extents->extent[i], *before = extent - 1;

		cr_assert(eq(u64, extent->frame, next));
		cr_assert(ge(u64, extent->frames, 1));
		next += extent->frames;
		if (i == 0 || before->image != extent->image)
			continue;
		cr_assert_not_null(extent->image, "two runs of zeros should be one");
		cr_assert(ne(u64, before->place + before->frames, extent->place));
	}
	cr_assert(eq(u64, next, frames));
	for (uint64_t frame = 0; frame < frames; frame++) {
		const struct layer_extent *extent = layer_extents_find(extents, frame);
		const struct image *image;
		uint64_t place;

		cr_assert(range_within(frame - extent->frame, 1, extent->frames));
		ask(layers, frame, &image, &place);
		cr_assert(extent->image == image, "frame %d", (int)frame);
		if (image != NULL)
			cr_assert(eq(u64, extent->place + (frame - extent->frame), place));
		data += image != NULL;
	}
	cr_assert(eq(u64, layer_extents_data_frames(extents), data));
}

static void check_stack(const char *const *kinds, unsigned n)
{
	static struct image image[IMAGE_LAYERS_MAX];
	struct image_layers layers = {.n = 0};
	struct err err = {0};
	struct layer_extents extents;

	for (unsigned i = 0; i < n; i++) {
		make(&image[i], kinds[i]);
		cr_assert(eq(int, image_layers_push(&layers, &image[i], &err), 0), "%s", err.text);
	}
	cr_assert(eq(int, image_layers_resolve(&layers, &extents, &err), 0), "%s", err.text);
	check_runs(&layers, &extents);
	layer_extents_free(&extents);
	for (unsigned i = 0; i < n; i++)
		image_free(&image[i]);
}

Test(layers, small_ones)
{
	check_stack((const char *const[]){"1"}, 1);
	check_stack((const char *const[]){"3", "1"}, 2);
	check_stack((const char *const[]){"33333", "32323", "11111"}, 3);
	check_stack((const char *const[]){"13231", "33333", "21212"}, 3);
}

static void shuffle(char *kinds, size_t n, const char *of)
{
	for (size_t i = 0; i < n; i++) {
		bool same = i > 0 && rand() % 3 != 0;

		kinds[i] = same ? kinds[i - 1] : of[(size_t)rand() % strlen(of)];
	}
	kinds[n] = '\0';
}

Test(layers, random_ones)
{
	static char kinds[12][400];
	const char *list[12];

	srand(1);
	for (int round = 0; round < 300; round++) {
		unsigned n = 1 + (unsigned)rand() % 12;
		size_t frames = 1 + (size_t)rand() % 399;

		for (unsigned i = 0; i < n; i++) {
			shuffle(kinds[i], frames, i + 1 < n ? "1233" : "12");
			list[i] = kinds[i];
		}
		check_stack(list, n);
	}
}

/* Places that follow one another are one run, whatever lies between in the maps. */
Test(layers, what_is_one_run_in_the_end_is_one_run)
{
	struct image top, base;
	struct image_layers layers = {.n = 0};
	struct layer_extents extents;

	make(&top, "332233");
	make(&base, "111111");
	cr_assert(eq(int, image_layers_push(&layers, &top, NULL), 0));
	cr_assert(eq(int, image_layers_push(&layers, &base, NULL), 0));
	cr_assert(eq(int, image_layers_resolve(&layers, &extents, NULL), 0));
	cr_assert(eq(sz, extents.n, 3));
	layer_extents_free(&extents);
	image_free(&top);
	image_free(&base);
	make(&top, "3333");
	make(&base, "2222");
	layers.n = 0;
	cr_assert(eq(int, image_layers_push(&layers, &top, NULL), 0));
	cr_assert(eq(int, image_layers_push(&layers, &base, NULL), 0));
	cr_assert(eq(int, image_layers_resolve(&layers, &extents, NULL), 0));
	cr_assert(eq(sz, extents.n, 1));
	cr_assert(eq(u64, layer_extents_data_frames(&extents), 0));
	layer_extents_free(&extents);
	image_free(&top);
	image_free(&base);
}

Test(layers, the_lowest_has_no_parent)
{
	struct image top, base;
	struct image_layers layers = {.n = 0};
	struct err err = {0};
	struct layer_extents extents;

	make(&top, "1333");
	make(&base, "3313");
	cr_assert(eq(int, image_layers_push(&layers, &top, NULL), 0));
	cr_assert(eq(int, image_layers_push(&layers, &base, NULL), 0));
	cr_assert(lt(int, image_layers_resolve(&layers, &extents, &err), 0));
	cr_assert(eq(int, (int)err.kind, ERR_INTEGRITY));
	cr_assert_str_eq(err.text, "frame 1 refers to a parent it cannot have");
	cr_assert_null(extents.extent);
	image_free(&top);
	image_free(&base);
}

Test(layers, all_are_of_one_size_and_not_too_many)
{
	struct image a, b;
	struct image_layers layers = {.n = 0};
	struct err err = {0};

	make(&a, "33");
	make(&b, "11");
	b.map.size -= 512;
	cr_assert(eq(int, image_layers_push(&layers, &a, &err), 0));
	cr_assert(lt(int, image_layers_push(&layers, &b, &err), 0));
	cr_assert(eq(int, (int)err.kind, ERR_INTEGRITY));
	while (layers.n < IMAGE_LAYERS_MAX)
		cr_assert(eq(int, image_layers_push(&layers, &a, &err), 0));
	cr_assert(lt(int, image_layers_push(&layers, &a, &err), 0));
	cr_assert(eq(int, (int)err.kind, ERR_INTEGRITY));
	image_free(&a);
	image_free(&b);
}

/* --- scanning against a parent --- */

/* Frames that are all one letter; '0' is zeros, '3' is not asked for: as in the parent. */
struct letters {
	const char *text;
};

static int letter_frame(void *opaque, uint64_t index, uint8_t *scratch, const uint8_t **data,
			enum extent_kind *kind, struct err *err)
{
	const struct letters *letters = opaque;
	char letter = letters->text[index];

	(void)err;
	*kind = letter == '3' ? EXTENT_PARENT : EXTENT_DATA;
	memset(scratch, letter == '0' ? 0 : letter, FRAME_SIZE);
	*data = scratch;
	return 0;
}

static struct image_source source_of(struct letters *letters, const struct layer_extents *parent)
{
	return (struct image_source){
		.size = strlen(letters->text) * FRAME_SIZE,
		.opaque = letters,
		.frame = letter_frame,
		.parent = parent,
	};
}

static void check_kinds(const struct image_plan *plan, const char *kinds)
{
	for (uint64_t i = 0; kinds[i] != '\0'; i++)
		cr_assert_eq(image_map_find(&plan->map, i)->kind, (uint32_t)(kinds[i] - '0'),
			     "frame %d", (int)i);
}

static void check_hashes(const struct image_plan *plan, const char *letters)
{
	uint8_t frame[FRAME_SIZE], digest[DIGEST_SIZE];

	cr_assert(plan->hashed);
	cr_assert(eq(u64, plan->map.data_frames, strlen(letters)));
	for (size_t i = 0; letters[i] != '\0'; i++) {
		memset(frame, letters[i], sizeof(frame));
		cr_assert(eq(int, digest_bytes(frame, sizeof(frame), digest, NULL), 0));
		cr_assert_arr_eq(plan->hashes + i * IMAGE_HASH_SIZE, digest, DIGEST_SIZE, "hash %d",
				 (int)i);
	}
}

/* Scan `was`, make an image of it, and scan `now` against that. */
static void check_scan(const char *was, const char *now, const char *kinds, const char *hashes)
{
	struct letters before = {.text = was}, after = {.text = now};
	struct image_source source = source_of(&before, NULL);
	struct image_plan plan;
	struct image parent = {.nparts = 1};
	struct image_layers layers = {.n = 1, .image = {&parent}};
	struct layer_extents extents;

	cr_assert(eq(int, image_scan(&plan, &source, NULL, NULL), 0));
	parent.map = plan.map;
	parent.hash_list = plan.hashes;
	for (uint64_t place = 0; place < parent.map.data_frames; place++) {
		uint8_t frame[FRAME_SIZE];

		memset(frame, was[image_map_frame_at(&parent.map, place)], sizeof(frame));
		cr_assert(eq(int,
			     digest_bytes(frame, sizeof(frame),
					  parent.hash_list + place * IMAGE_HASH_SIZE, NULL),
			     0));
	}
	cr_assert(eq(int, image_layers_resolve(&layers, &extents, NULL), 0));
	source = source_of(&after, &extents);
	cr_assert(eq(int, image_scan(&plan, &source, NULL, NULL), 0));
	check_kinds(&plan, kinds);
	check_hashes(&plan, hashes);
	image_plan_free(&plan);
	layer_extents_free(&extents);
	image_free(&parent);
}

Test(scan, the_same_is_as_in_the_parent)
{
	check_scan("abc", "abc", "333", "");
	check_scan("a0c", "a0c", "333", "");
}

Test(scan, zeros_are_told_from_unchanged)
{
	check_scan("ab00", "00ab", "2211", "ab"); /* zero over data is zero, data over zero data */
	check_scan("0000", "0000", "3333", "");	  /* zero over zero is nothing new */
}

Test(scan, what_changed_is_data)
{
	check_scan("abcabc", "abxabx", "331331", "xx");
	check_scan("abc", "bca", "111", "bca"); /* moved is changed */
	check_scan("00a", "ba0", "112", "ba");
}

Test(scan, what_the_source_knows_is_not_asked)
{
	check_scan("abc0", "3x33", "3133", "x");
}

Test(scan, many_frames_on_all_cores)
{
	static char was[1500], now[1500], kinds[1500], hashes[1500];
	size_t n = 0;

	srand(2);
	for (size_t i = 0; i + 1 < sizeof(was); i++) {
		was[i] = "0ab"[rand() % 3];
		now[i] = "0ab3"[rand() % 4];
		if (now[i] == '3' || now[i] == was[i]) {
			kinds[i] = '3';
		} else if (now[i] == '0') {
			kinds[i] = '2';
		} else {
			kinds[i] = '1';
			hashes[n++] = now[i];
		}
	}
	check_scan(was, now, kinds, hashes);
}
