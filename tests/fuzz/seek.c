/* A packed part: its seek table, and the frames it points at, unpacked and found to be others. */
#include "format/image/seek_table.h"

#include <unistd.h>

#include "format/image/frame_reader.h"
#include "tests/fuzz/fuzz.h"

#define FRAMES 4u

static void read_frames(const struct blob *part, uint32_t frames, uint32_t *offsets)
{
	static struct image image; /* large */
	struct extent whole = {.frames = frames, .kind = EXTENT_DATA};
	uint8_t frame[FRAME_SIZE];
	struct frame_reader *reader = NULL;
	struct err err = {0};

	image = (struct image){
		.role = "input",
		.map = {.data_frames = frames, .nextents = 1, .extents = &whole},
		.encoding = IMAGE_PACKED,
		.nparts = 1,
		.part_frames = frames,
		.part[0] = *part,
		.hash_list = calloc(frames, IMAGE_HASH_SIZE),
		.table = &offsets,
	};
	fuzz_require(image.hash_list != NULL && frame_reader_new(&reader, NULL) == 0);
	for (uint32_t place = 0; place < frames && place < FRAMES; place++) {
		int ret = frame_read(reader, &image, place, frame, &err);

		fuzz_require(ret < 0);
		fuzz_require_reason(ret, &err);
	}
	frame_reader_free(reader);
	free(image.hash_list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct blob part = {.fd = fuzz_file(data, size), .len = size};
	uint32_t frames, *offsets;
	struct err err = {0};
	int ret = seek_table_frames(&part, &frames, &err);

	fuzz_require_reason(ret, &err);
	if (ret == 0) {
		offsets = calloc(frames + 1u, sizeof(*offsets));
		fuzz_require(offsets != NULL);
		ret = seek_table_read(&part, frames, offsets, &err);
		fuzz_require_reason(ret, &err);
		for (uint32_t i = 0; ret == 0 && i < frames; i++)
			fuzz_require(offsets[i] < offsets[i + 1] && offsets[i + 1] <= size);
		if (ret == 0)
			read_frames(&part, frames, offsets);
		free(offsets);
	}
	close(part.fd);
	return 0;
}
