/*
 * Images on top of one another, as one: an increment over its parent, an overlay over its base.
 *
 * Where an image says `parent`, the next one underneath counts. stack_resolve() flattens that into
 * runs, which name for each frame the image and the place that holds it, or zero; whoever maps,
 * pages or copies works on runs and need not know that there was a stack. Pure; images are borrowed
 * and must outlive stack and runs.
 */
#ifndef TORPOR_FORMAT_IMAGE_STACK_H
#define TORPOR_FORMAT_IMAGE_STACK_H

#include "format/image/image.h"

#define STACK_MAX 256u

struct stack {
	unsigned n;
	const struct image *image[STACK_MAX]; /* the newest first; all of one size */
};

struct run {
	uint64_t frame; /* first frame */
	uint64_t frames;
	const struct image *image; /* NULL: zero */
	uint64_t place;		   /* of the first frame in `image` */
};

struct runs {
	uint64_t size; /* bytes of the image */
	size_t n;
	struct run *run; /* owned; ascending, tiling the image */
};

/* Put an image underneath. Another size, or too many, is ERR_INTEGRITY. */
int stack_push(struct stack *stack, const struct image *image, struct err *err);
/* ERR_INTEGRITY when the lowest image says `parent`. */
int stack_resolve(const struct stack *stack, struct runs *runs, struct err *err);
void runs_free(struct runs *runs);
/* The run that holds `frame`, which must be inside the image. */
const struct run *runs_find(const struct runs *runs, uint64_t frame);
/* Frames with data. */
uint64_t runs_data_frames(const struct runs *runs);

#endif
