/* See flatten.h. The order of blobs is that of a save. */
#include "format/flatten.h"

#include <stdio.h>

#include "base/num.h"
#include "format/archive_writer.h"
#include "format/image/frame_reader.h"

/* A stack of images as one. */
struct merged {
	struct layer_extents extents;
	const struct image *base; /* what is as in this one is left to it; NULL: nothing is */
	struct frame_readers readers;
};

/* How many frames from `index` on (1 to `most`) are of one kind. */
static uint64_t merged_extent(void *opaque, uint64_t index, uint64_t most, enum extent_kind *kind)
{
	const struct merged *m = opaque;
	const struct layer_extent *extent = layer_extents_find(&m->extents, index);
	uint64_t n = u64_min(most, extent->frame + extent->frames - index);
	const struct extent *below;

	if (extent->image != NULL) {
		*kind = extent->image == m->base ? EXTENT_PARENT : EXTENT_DATA;
		return n;
	}
	*kind = EXTENT_ZERO;
	if (m->base == NULL)
		return n;
	below = image_map_find(&m->base->map, index);
	if (below->kind == EXTENT_ZERO)
		*kind = EXTENT_PARENT;
	return u64_min(n, below->frame + below->frames - index);
}

static int merged_frame(void *opaque, uint64_t index, uint8_t *scratch, const uint8_t **data,
			enum extent_kind *kind, struct err *err)
{
	struct merged *m = opaque;
	const struct layer_extent *extent = layer_extents_find(&m->extents, index);

	*data = scratch;
	(void)merged_extent(m, index, 1, kind);
	if (*kind != EXTENT_DATA || scratch == NULL)
		return 0;
	return frame_readers_read(&m->readers, extent->image,
				  extent->place + (index - extent->frame), scratch, err);
}

/* Nothing lies over the base. */
static bool is_untouched(struct merged *m)
{
	uint64_t frames = align_up(m->extents.size, FRAME_SIZE) / FRAME_SIZE;
	enum extent_kind kind = EXTENT_PARENT;

	for (uint64_t at = 0; kind == EXTENT_PARENT && at < frames;)
		at += merged_extent(m, at, frames - at, &kind);
	return m->base != NULL && kind == EXTENT_PARENT;
}

static int flatten_layers(struct archive_writer *w, const char *role,
			  const struct image_layers *layers, const struct image *base,
			  struct err *err)
{
	struct merged m = {.base = base};
	struct image_source source = {
		.size = layers->image[0]->map.size,
		.opaque = &m,
		.frame = merged_frame,
		.extent = merged_extent,
		.exact = true,
	};
	int ret = image_layers_resolve(layers, &m.extents, err);

	if (ret < 0)
		return err_context(err, ret, "%s", role);
	frame_readers_init(&m.readers);
	if (!is_untouched(&m))
		ret = archive_writer_image(w, role, &source, err);
	else
		progress_skip(archive_writer_progress(w), source.size);
	frame_readers_free(&m.readers);
	layer_extents_free(&m.extents);
	return ret;
}

static int flatten_boot(const struct chain *c, struct archive_writer *w, struct err *err)
{
	static const char roles[][8] = {ROLE_KERNEL, ROLE_INITRD};
	struct blob blob;

	for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
		int ret;

		if (!chain_blob(c, roles[i], &blob))
			continue;
		ret = archive_writer_blob(w, roles[i], &blob, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int flatten_disk(const struct chain *c, struct archive_writer *w, unsigned index,
			struct err *err)
{
	const struct image *base;
	struct image_layers layers;
	char role[32];
	int ret = chain_disk(c, index, &layers, err);

	if (ret < 0)
		return ret;
	base = layers.image[layers.n - 1];
	snprintf(role, sizeof(role), ROLE_DISK ".%u", index);
	ret = archive_writer_copy_image(w, role, base, err);
	if (ret < 0 || layers.n == 1)
		return ret;
	snprintf(role, sizeof(role), ROLE_DISK ".%u" ROLE_OVERLAY_SUFFIX, index);
	return flatten_layers(w, role, &layers, base, err);
}

static int flatten_memory(const struct chain *c, struct archive_writer *w, struct err *err)
{
	uint64_t size = archive_appliance(chain_newest(c))->memory, done = 0;
	struct image_layers layers;
	char role[32];
	int ret;

	for (unsigned i = 0; done < size; i++) {
		snprintf(role, sizeof(role), ROLE_MEMORY ".%u", i);
		ret = chain_memory(c, i, &layers, err);
		if (ret < 0)
			return ret;
		ret = flatten_layers(w, role, &layers, NULL, err);
		if (ret < 0)
			return ret;
		done += layers.image[0]->map.size;
	}
	return 0;
}

static int flatten_contents(const struct chain *c, struct archive_writer *w, struct appliance *a,
			    struct err *err)
{
	int ret = archive_writer_copy_state(w, chain_newest(c), err);

	if (ret < 0)
		return ret;
	ret = flatten_boot(c, w, err);
	if (ret < 0)
		return ret;
	for (unsigned i = 0; i < a->ndisks; i++) {
		if (a->disk[i].outside[0] != '\0')
			continue;
		ret = flatten_disk(c, w, i, err);
		if (ret < 0)
			return ret;
	}
	return a->live ? flatten_memory(c, w, err) : 0;
}

/* What will be written, with its zeros. */
static int expect_flattened(const struct chain *c, const struct appliance *a, struct err *err)
{
	struct progress *progress = archive_progress(chain_newest(c));
	struct image_layers layers;

	if (a->live)
		progress_expect(progress, a->memory);
	for (unsigned i = 0; i < a->ndisks; i++) {
		int ret;

		if (a->disk[i].outside[0] != '\0')
			continue;
		ret = chain_disk(c, i, &layers, err);
		if (ret < 0)
			return ret;
		progress_expect(progress, layers.image[layers.n - 1]->map.size);
		if (layers.n > 1)
			progress_expect(progress, layers.image[0]->map.size);
	}
	return 0;
}

int flatten_chain(const struct chain *c, const char *target, int level, const struct keyring *keys,
		  char digest[DIGEST_TEXT_SIZE], struct err *err)
{
	struct appliance a = *archive_appliance(chain_newest(c));
	cleanup_archive_writer struct archive_writer *w = NULL;
	int ret = expect_flattened(c, &a, err);

	if (ret < 0)
		return ret;
	ret = chain_ensure_verified(c, err);
	if (ret < 0)
		return ret;
	ret = archive_writer_open(&w, target, err);
	if (ret < 0)
		return ret;
	archive_writer_watch(w, archive_progress(chain_newest(c)));
	if (level > 0)
		archive_writer_pack(w, level);
	a.increment = false;
	if (keys != NULL) {
		ret = archive_writer_encrypt(w, keys, err);
		if (ret < 0)
			return ret;
	}
	ret = flatten_contents(c, w, &a, err);
	return ret < 0 ? ret : archive_writer_publish(w, &a, digest, err);
}
