/* Where the data of an image lies in its parts; see image.h. */
#include "format/image/image.h"

#include <errno.h>
#include <stdlib.h>

#include "base/arrival.h"
#include "base/assert.h"
#include "base/num.h"
#include "format/image/seek_table.h"

void image_free(struct image *image)
{
	image_map_free(&image->map);
	free(image->hash_list);
	for (uint32_t n = 0; image->table != NULL && n < image->nparts; n++)
		free(image->table[n]);
	free(image->table);
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

static uint32_t *find_table(const struct image *image, uint64_t part)
{
	return __atomic_load_n(&image->table[part], __ATOMIC_ACQUIRE);
}

static uint32_t frames_of_part(const struct image *image, uint32_t part)
{
	return (uint32_t)u64_min(image->part_frames,
				 image->map.data_frames - part * image->part_frames);
}

struct blob image_table_place(const struct image *image, uint32_t part)
{
	struct blob blob = image->part[part];
	uint64_t len = u64_min(blob.len, seek_table_most(frames_of_part(image, part)));

	blob.offset += blob.len - len;
	blob.len = len;
	return blob;
}

/* `again`: what arrived wrong is asked for once more. */
static int read_table(const struct image *image, uint32_t part, bool again, uint32_t *table,
		      struct err *err)
{
	const struct blob place = image_table_place(image, part);
	uint32_t frames = frames_of_part(image, part);
	struct err first = {0};
	int ret = arrival_await(place.arrival, place.offset, place.len, err);

	if (ret < 0)
		return ret;
	ret = seek_table_read(&image->part[part], frames, table, &first);
	if (ret == 0)
		return 0;
	if (!again || first.kind != ERR_INTEGRITY || place.arrival == NULL)
		return err_copy(err, ret, &first);
	ret = arrival_again(place.arrival, place.offset, place.len, err);
	return ret < 0 ? ret : seek_table_read(&image->part[part], frames, table, err);
}

static int load_table(const struct image *image, uint64_t place, bool again, struct err *err)
{
	uint32_t part = (uint32_t)(place / image->part_frames), *table, *none = NULL;
	int ret;

	assert(image->encoding == IMAGE_PACKED);
	assert(place < image->map.data_frames && part < image->nparts);
	if (find_table(image, part) != NULL)
		return 0;
	table = malloc((frames_of_part(image, part) + 1) * sizeof(*table));
	if (table == NULL)
		return err_sys(err, ENOMEM, "read");
	ret = read_table(image, part, again, table, err);
	/* Another thread may have been faster: readers have its table already. */
	if (ret < 0 || !__atomic_compare_exchange_n(&image->table[part], &none, table, false,
						    __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		free(table);
	return ret;
}

int image_load_table(const struct image *image, uint64_t place, struct err *err)
{
	return load_table(image, place, image->checked, err);
}

struct blob image_packed_place(const struct image *image, uint64_t place)
{
	uint64_t part = place / image->part_frames;
	const uint32_t *offset;

	assert(image->encoding == IMAGE_PACKED);
	assert(place < image->map.data_frames && part < image->nparts);
	offset = find_table(image, part) + place % image->part_frames;
	return (struct blob){
		.fd = image->part[part].fd,
		.offset = image->part[part].offset + offset[0],
		.len = offset[1] - offset[0],
		.arrival = image->part[part].arrival,
	};
}

bool image_has_table(const struct image *image, uint64_t place)
{
	return image->encoding == IMAGE_FLAT ||
	       (image->hot_at != NULL && image->hot_at[place] != 0) ||
	       find_table(image, place / image->part_frames) != NULL;
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
	struct blob blob;
	bool packed;

	if (!image_has_table(image, place)) {
		blob = image_table_place(image, (uint32_t)(place / image->part_frames));
		if (blob.arrival != NULL && !arrival_has(blob.arrival, blob.offset, blob.len))
			return false;
		/* A wrong one is the matter of who reads the frame. */
		if (load_table(image, place, false, NULL) < 0)
			return true;
	}
	blob = image_frame_place(image, place, &packed);
	return blob.arrival == NULL || arrival_has(blob.arrival, blob.offset, blob.len);
}

static void want(const struct blob *wanted)
{
	if (wanted->arrival != NULL)
		arrival_want(wanted->arrival, wanted->offset, wanted->len);
}

void image_want_frames(const struct image *image, uint64_t place, uint64_t frames)
{
	struct blob wanted = {.fd = -1};

	for (uint64_t i = 0; image->checked && i < frames; i++) {
		struct blob blob;
		bool packed;

		if (!image_has_table(image, place + i)) {
			want(&wanted);
			wanted.arrival = NULL;
			if (image_load_table(image, place + i, NULL) < 0)
				return;
		}
		blob = image_frame_place(image, place + i, &packed);
		if (blob.arrival == NULL || arrival_has(blob.arrival, blob.offset, blob.len))
			continue;
		if (wanted.arrival == blob.arrival && wanted.offset + wanted.len == blob.offset) {
			wanted.len += blob.len;
			continue;
		}
		want(&wanted);
		wanted = blob;
	}
	want(&wanted);
}
