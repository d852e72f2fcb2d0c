/*
 * Writing hot sets: copies of the frames a resume touches first, flat, so that they can be mapped,
 * in that order. They have no part in the appliance's identity; what is in them is in the image
 * too, and is compared with the image's hash list before it is used.
 */
#ifndef TORPOR_FORMAT_HOT_H
#define TORPOR_FORMAT_HOT_H

#include "format/archive_writer.h"

struct hot_set {
	const struct image *image;
	const uint64_t *places; /* data frames of the image, each once; the first ones first */
	size_t n;
};

/* Two layers. Goes in front of the images, so that it is read in one go. Nothing for an empty set.
 * Returns 0; what digest_new(), frame_read() and archive_writer_layer() returned; -ENOMEM; or the
 * errno of memfd_create(2) or pwrite(2). */
int hot_write(struct archive_writer *w, const struct hot_set *hot, struct err *err);

#endif
