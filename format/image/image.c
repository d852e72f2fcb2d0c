/* Where the data of an image lies in its parts; see image.h. */
#include "format/image/image.h"

#include <errno.h>
#include <stdlib.h>

#include "base/arrival.h"
#include "base/assert.h"
#include "base/num.h"

void image_free(struct image *image)
{
	image_map_free(&image->map);
	free(image->hash_list);
	free(image->offsets);
	free(image->hot_at);
	free(image->hot_place);
	*image = (struct image){0};
}

int image_check_open(const struct image *image, struct err *err)
{
	if (!image->encrypted || image->key != NULL)
		return 0;
	return err_set(err, ERR_USAGE, "%s is encrypted, and its key is not given", image->role);
}

int image_load_hashes(struct image *image, struct err *err)
{
	int ret;

	if (image->hash_list != NULL)
		return 0;
	/* The archive loads the list of an encrypted image as soon as the key is there. */
	ret = image_check_open(image, err);
	if (ret < 0)
		return ret;
	return blob_read_all(&image->hashes, UINT64_MAX, &image->hash_list, err);
}

struct blob image_place(const struct image *image, uint64_t place, uint64_t want, uint64_t *run)
{
	uint64_t part = place / image->part_frames, within = place % image->part_frames;
	const struct blob *blob = &image->part[part];

	assert(image->encoding == IMAGE_FLAT);
	assert(place < image->map.data_frames && part < image->nparts);
	*run = u64_min(want, blob->len / FRAME_SIZE - within);
	return (struct blob){
		.fd = blob->fd,
		.offset = blob->offset + within * FRAME_SIZE,
		.len = *run * FRAME_SIZE,
		.arrival = blob->arrival,
	};
}

struct blob image_packed_place(const struct image *image, uint64_t place)
{
	uint64_t part = place / image->part_frames;
	/* Each part has one offset more than frames. */
	const uint32_t *offset = image->offsets + place + part;

	assert(image->encoding == IMAGE_PACKED);
	assert(place < image->map.data_frames && part < image->nparts);
	return (struct blob){
		.fd = image->part[part].fd,
		.offset = image->part[part].offset + offset[0],
		.len = offset[1] - offset[0],
		.arrival = image->part[part].arrival,
	};
}

struct blob image_frame_place(const struct image *image, uint64_t place, bool *packed)
{
	uint64_t run;

	if (image->hot_at != NULL && image->hot_at[place] != 0) {
		*packed = false;
		return (struct blob){
			.fd = image->hot.fd,
			.offset = image->hot.offset +
				  (image->hot_at[place] - 1) * (uint64_t)FRAME_SIZE,
			.len = FRAME_SIZE,
			.arrival = image->hot.arrival,
		};
	}
	*packed = image->encoding == IMAGE_PACKED;
	return *packed ? image_packed_place(image, place) : image_place(image, place, 1, &run);
}

bool image_frame_is_there(const struct image *image, uint64_t place)
{
	bool packed;
	struct blob blob = image_frame_place(image, place, &packed);

	return blob.arrival == NULL || arrival_has(blob.arrival, blob.offset, blob.len);
}

void image_want_frames(const struct image *image, uint64_t place, uint64_t frames)
{
	struct blob wanted = {.fd = -1};
	bool packed;

	for (uint64_t i = 0; image->checked && i < frames; i++) {
		struct blob blob = image_frame_place(image, place + i, &packed);

		if (blob.arrival == NULL || arrival_has(blob.arrival, blob.offset, blob.len))
			continue;
		if (wanted.arrival == blob.arrival && wanted.offset + wanted.len == blob.offset) {
			wanted.len += blob.len;
			continue;
		}
		if (wanted.arrival != NULL)
			arrival_want(wanted.arrival, wanted.offset, wanted.len);
		wanted = blob;
	}
	if (wanted.arrival != NULL)
		arrival_want(wanted.arrival, wanted.offset, wanted.len);
}
