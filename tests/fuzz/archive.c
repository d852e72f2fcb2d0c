/* A whole file: tar, OCI documents, config, maps, seek tables, and the frames behind them; and its
 * verification. */
#include "format/archive.h"

#include <stdio.h>
#include <string.h>

#include "format/image/frame_reader.h"
#include "format/image/layers.h"
#include "tests/fuzz/fuzz.h"

#define FRAMES 4u /* of each image are read */

/* Looks at all of its arguments, and refuses a config with the word "refused". */
static int check_signature(void *opaque, const uint8_t *config, size_t len, const char *signature,
			   struct err *err)
{
	(void)opaque;
	if (signature == NULL || memmem(config, len, "refused", 7) == NULL)
		return 0;
	return err_set(err, ERR_INTEGRITY, "refused, with %s", signature);
}

static void read_frames(struct frame_reader *reader, const struct image *image)
{
	uint8_t frame[FRAME_SIZE];
	struct err err = {0};

	for (uint64_t place = 0; place < image->map.data_frames && place < FRAMES; place++)
		fuzz_require_reason(frame_read(reader, image, place, frame, &err), &err);
	if (image->map.data_frames > FRAMES)
		(void)frame_read(reader, image, image->map.data_frames - 1, frame, &err);
}

static void resolve(const struct image *overlay, const struct image *base)
{
	struct image_layers layers = {0};
	struct layer_extents extents = {0};
	struct err err = {0};
	int ret = 0;

	if (overlay != NULL)
		ret = image_layers_push(&layers, overlay, &err);
	if (ret == 0)
		ret = image_layers_push(&layers, base, &err);
	if (ret == 0)
		ret = image_layers_resolve(&layers, &extents, &err);
	fuzz_require_reason(ret, &err);
	layer_extents_free(&extents);
}

static void look_at(const struct archive *a)
{
	static const char *const names[] = {ROLE_MEMORY, ROLE_DISK};
	struct frame_reader *reader = NULL;
	char role[32];

	fuzz_require(frame_reader_new(&reader, NULL) == 0);
	for (unsigned i = 0; i < 2 * APPLIANCE_MAX_DISKS; i++) {
		const struct image *base, *overlay;

		snprintf(role, sizeof(role), "%s.%u", names[i % 2], i / 2);
		base = archive_image(a, role);
		snprintf(role, sizeof(role), "%s.%u" ROLE_OVERLAY_SUFFIX, names[i % 2], i / 2);
		overlay = archive_image(a, role);
		if (base != NULL) {
			read_frames(reader, base);
			resolve(overlay, base);
		}
		if (overlay != NULL)
			read_frames(reader, overlay);
	}
	frame_reader_free(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct archive_open_params params = {.fd = fuzz_file(data, size),
					     .verify_signature = check_signature};
	struct archive *a;
	struct err err = {0};
	int ret = archive_open_with(&a, "input", &params, &err);

	fuzz_require_reason(ret, &err);
	if (ret < 0)
		return 0;
	look_at(a);
	fuzz_require_reason(archive_load_hashes(a, &err), &err);
	fuzz_require_reason(archive_verify(a, NULL, NULL, &err), &err);
	archive_close(a);
	return 0;
}
