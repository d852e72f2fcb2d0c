/* Where the data of an image lies in its parts; see image.h. Pure. */
#include "format/image.h"

#include "vmm/base/assert.h"
#include "vmm/base/num.h"

void image_free(struct image *image)
{
	image_map_free(&image->map);
	*image = (struct image){0};
}

struct blob image_place(const struct image *image, uint64_t place, uint64_t want, uint64_t *run)
{
	uint64_t part = place / image->part_frames, within = place % image->part_frames;
	const struct blob *blob = &image->part[part];

	assert(place < image->map.data_frames && part < image->nparts);
	*run = u64_min(want, blob->len / IMAGE_FRAME - within);
	return (struct blob){
		.fd = blob->fd,
		.offset = blob->offset + within * IMAGE_FRAME,
		.len = *run * IMAGE_FRAME,
	};
}
