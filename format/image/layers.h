/*
 * Images on top of one another, as one: an increment over its parent, an overlay over its base.
 *
 * Where an image says `parent`, the next one underneath counts. image_layers_resolve() flattens
 * that into extents, which name for each frame the image and the place that holds it, or zero;
 * whoever maps, pages or copies works on these and need not know of layers. Pure; images are
 * borrowed and must outlive layers and extents.
 */
#ifndef TORPOR_FORMAT_IMAGE_LAYERS_H
#define TORPOR_FORMAT_IMAGE_LAYERS_H

#include "format/image/image.h"

#define IMAGE_LAYERS_MAX 256u

struct image_layers {
	unsigned n;
	const struct image *image[IMAGE_LAYERS_MAX]; /* the newest first; all of one size */
};

struct layer_extent {
	uint64_t frame; /* first frame */
	uint64_t frames;
	const struct image *image; /* NULL: zero */
	uint64_t place;		   /* of the first frame in `image` */
};

struct layer_extents {
	uint64_t size; /* bytes of the image */
	size_t n;
	struct layer_extent *extent; /* owned; ascending, tiling the image */
};

/* Put an image underneath. Another size, or too many, is ERR_INTEGRITY. */
int image_layers_push(struct image_layers *layers, const struct image *image, struct err *err);
/* ERR_INTEGRITY when the lowest image says `parent`, or -ENOMEM. */
int image_layers_resolve(const struct image_layers *layers, struct layer_extents *extents,
			 struct err *err);
void layer_extents_free(struct layer_extents *extents);
#define cleanup_layer_extents __attribute__((cleanup(layer_extents_free)))
/* The extent that holds `frame`, which must be inside the image. */
const struct layer_extent *layer_extents_find(const struct layer_extents *extents, uint64_t frame);
/* Frames with data. */
uint64_t layer_extents_data_frames(const struct layer_extents *extents);

#endif
