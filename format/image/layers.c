/* See layers.h. Pure. */
#include "format/image/layers.h"

#include <errno.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/num.h"

int image_layers_push(struct image_layers *layers, const struct image *image, struct err *err)
{
	if (layers->n == IMAGE_LAYERS_MAX)
		return err_set(err, ERR_INTEGRITY, "more than %u images on top of one another",
			       IMAGE_LAYERS_MAX);
	if (layers->n > 0 && layers->image[0]->map.size != image->map.size)
		return err_set(err, ERR_INTEGRITY, "its size differs from its parent's");
	layers->image[layers->n++] = image;
	return 0;
}

/* It lengthens the last one if it continues that. */
static int append_extent(struct layer_extents *extents, const struct layer_extent *extent,
			 struct err *err)
{
	struct layer_extent *last = extents->n > 0 ? &extents->extent[extents->n - 1] : NULL;
	struct layer_extent *grown;

	if (last != NULL && last->image == extent->image &&
	    (extent->image == NULL || last->place + last->frames == extent->place)) {
		last->frames += extent->frames;
		return 0;
	}
	grown = array_grow(extents->extent, extents->n, sizeof(*grown));
	if (grown == NULL)
		return err_sys(err, ENOMEM, "read an extent map");
	extents->extent = grown;
	grown[extents->n++] = *extent;
	return 0;
}

/* What frames [first, end) are, from image `level` downwards. */
static int resolve_layer(const struct image_layers *layers, unsigned level, uint64_t first,
			 uint64_t end, struct layer_extents *extents, struct err *err)
{
	const struct image *image;

	if (level == layers->n)
		return err_set(err, ERR_INTEGRITY, "frame %llu refers to a parent it cannot have",
			       (unsigned long long)first);
	image = layers->image[level];
	for (const struct extent *e = image_map_find(&image->map, first); first < end; e++) {
		uint64_t next = u64_min(end, e->frame + e->frames);
		struct layer_extent extent = {.frame = first, .frames = next - first};
		int ret;

		if (e->kind == EXTENT_DATA) {
			extent.image = image;
			extent.place = e->place + (first - e->frame);
		}
		ret = e->kind == EXTENT_PARENT
			      ? resolve_layer(layers, level + 1, first, next, extents, err)
			      : append_extent(extents, &extent, err);
		if (ret < 0)
			return ret;
		first = next;
	}
	return 0;
}

int image_layers_resolve(const struct image_layers *layers, struct layer_extents *extents,
			 struct err *err)
{
	uint64_t frames = align_up(layers->image[0]->map.size, FRAME_SIZE) / FRAME_SIZE;
	int ret;

	*extents = (struct layer_extents){.size = layers->image[0]->map.size};
	ret = resolve_layer(layers, 0, 0, frames, extents, err);
	if (ret < 0)
		layer_extents_free(extents);
	return ret;
}

void layer_extents_free(struct layer_extents *extents)
{
	free(extents->extent);
	*extents = (struct layer_extents){0};
}

const struct layer_extent *layer_extents_find(const struct layer_extents *extents, uint64_t frame)
{
	return &extents->extent[last_not_above(&extents->extent[0].frame,
					       sizeof(extents->extent[0]), extents->n, frame)];
}

uint64_t layer_extents_data_frames(const struct layer_extents *extents)
{
	uint64_t frames = 0;

	for (size_t i = 0; i < extents->n; i++)
		frames += extents->extent[i].image != NULL ? extents->extent[i].frames : 0;
	return frames;
}
