/* Images on their way into a file: scanned, packed, encrypted, or copied from another file; see
 * archive_writer.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/num.h"
#include "format/archive.h"
#include "format/archive_writer_internal.h"
#include "format/image/frame_reader.h"

#define MAX_LAYERS 90u /* registries refuse images with many more than a hundred */
#define MAX_PARTS  16u
#define MAX_FINE   48u

/* Maps are never encrypted. `stored`, if not NULL, is the hash list as it is to be in the file. */
static int add_map_and_hashes(struct archive_writer *w, const char *role,
			      const struct image_map *map, const uint8_t *hashes,
			      const struct buf *stored, struct err *err)
{
	cleanup_buf struct buf text = {0};
	char name[OCI_ROLE_SIZE + 16];
	int ret;

	image_map_encode(map, &text);
	if (buf_failed(&text))
		return err_sys(err, ENOMEM, "write a map");
	snprintf(name, sizeof(name), "%s.map", role);
	ret = writer_add_stored(w, name, OCI_MAP_TYPE, text.data, text.len, err);
	if (ret < 0 || map->data_frames == 0)
		return ret;
	snprintf(name, sizeof(name), "%s.hashes", role);
	if (stored != NULL)
		return writer_add_stored(w, name, OCI_HASHES_TYPE, stored->data, stored->len, err);
	return writer_add_content(w, name, OCI_HASHES_TYPE, hashes,
				  map->data_frames * IMAGE_HASH_SIZE, err);
}

void writer_describe_part(const char *role, bool packed, uint32_t index, uint64_t size,
			  const uint8_t *digest, struct oci_descriptor *d)
{
	*d = (struct oci_descriptor){.size = size};
	snprintf(d->role, sizeof(d->role), "%s.%u", role, index);
	strcpy(d->media_type, packed ? OCI_PACKED_TYPE : OCI_FLAT_TYPE);
	digest_text(digest, d->digest);
}

bool writer_parts_are_fine(const char *role)
{
	return strncmp(role, ROLE_DISK ".", strlen(ROLE_DISK ".")) == 0 &&
	       strstr(role, ROLE_OVERLAY_SUFFIX) == NULL;
}

/* Fewer parts for later images, so that all layers together stay below what registries take. */
uint32_t writer_parts_allowed(const struct archive_writer *w, const char *role)
{
	uint64_t left = w->nblobs < MAX_LAYERS ? MAX_LAYERS - w->nblobs : 0;
	uint64_t share = writer_parts_are_fine(role) ? u64_min(left / 2, MAX_FINE)
						     : u64_min(left / 4, MAX_PARTS);

	return share > 0 ? (uint32_t)share : 1;
}

static int scan_and_write(struct archive_writer *w, const char *role, struct image_plan *plan,
			  const struct image_source *source, const struct buf *hashes,
			  struct err *err)
{
	struct progress *progress = w->out.progress;
	int ret = image_scan(plan, source, progress, err);

	assert(w->key == NULL || w->packed);
	plan->key = w->key;
	plan->role = role;
	if (ret < 0)
		return ret;
	progress_skip(progress,
		      source->size - u64_min(source->size, plan->map.data_frames * FRAME_SIZE));
	ret = w->output->image(w, role, plan, err);
	return ret < 0 ? ret : add_map_and_hashes(w, role, &plan->map, plan->hashes, hashes, err);
}

static int writer_image(struct archive_writer *w, const char *role,
			const struct image_source *source, const struct buf *hashes,
			struct err *err)
{
	struct image_plan plan;
	int ret = scan_and_write(w, role, &plan, source, hashes, err);

	image_plan_free(&plan);
	return writer_done(w, ret < 0 ? err_context(err, ret, "%s", role) : 0);
}

int archive_writer_image(struct archive_writer *w, const char *role,
			 const struct image_source *source, struct err *err)
{
	return writer_image(w, role, source, NULL, err);
}

static int read_stored_hashes(const struct image *image, struct buf *hashes, struct err *err)
{
	uint8_t *room = buf_add(hashes, NULL, image->hashes.len);

	return room != NULL || image->hashes.len == 0
		       ? blob_read(&image->hashes, 0, room, image->hashes.len, err)
		       : err_sys(err, ENOMEM, "copy an image");
}

static int copy_stored_image(struct archive_writer *w, const char *role, const struct image *image,
			     struct err *err)
{
	bool packed = image->encoding == IMAGE_PACKED;
	cleanup_buf struct buf hashes = {0};
	int ret = read_stored_hashes(image, &hashes, err);

	if (ret < 0)
		return ret;
	for (uint32_t i = 0; i < image->nparts; i++) {
		struct oci_descriptor d;

		writer_describe_part(role, packed, i, image->part[i].len, image->part_digest[i],
				     &d);
		ret = w->output->copy(w, &d, &image->part[i], err);
		if (ret < 0)
			return ret;
	}
	return add_map_and_hashes(w, role, &image->map, NULL, &hashes, err);
}

/* An image as a source. */
struct recode {
	const struct image *image;
	struct frame_readers readers;
};

static uint64_t recode_extent(void *opaque, uint64_t index, uint64_t most, enum extent_kind *kind)
{
	const struct recode *r = opaque;
	const struct extent *e = image_map_find(&r->image->map, index);

	*kind = (enum extent_kind)e->kind;
	return u64_min(most, e->frame + e->frames - index);
}

static int recode_frame(void *opaque, uint64_t index, uint8_t *scratch, const uint8_t **data,
			enum extent_kind *kind, struct err *err)
{
	struct recode *r = opaque;
	const struct extent *e = image_map_find(&r->image->map, index);

	*kind = (enum extent_kind)e->kind;
	*data = scratch;
	if (*kind != EXTENT_DATA || scratch == NULL)
		return 0;
	return frame_readers_read(&r->readers, r->image, e->place + (index - e->frame), scratch,
				  err);
}

int archive_writer_recode_image(struct archive_writer *w, const char *role,
				const struct image *image, struct err *err)
{
	struct recode r = {.image = image};
	const struct image_source source = {
		.size = image->map.size,
		.opaque = &r,
		.frame = recode_frame,
		.extent = recode_extent,
		.exact = true,
	};
	cleanup_buf struct buf hashes = {0};
	bool keep = w->like && image->encrypted;
	int ret = keep ? read_stored_hashes(image, &hashes, err) : 0;

	if (ret < 0)
		return writer_done(w, ret);
	frame_readers_init(&r.readers);
	ret = writer_image(w, role, &source, keep ? &hashes : NULL, err);
	frame_readers_free(&r.readers);
	return ret;
}

int archive_writer_copy_image(struct archive_writer *w, const char *role, const struct image *image,
			      struct err *err)
{
	bool in_clear = w->own_key == NULL && !image->encrypted;
	bool as_it_is = w->packed == (image->encoding == IMAGE_PACKED) && (w->like || in_clear);
	uint64_t stored = 0;
	int ret;

	if (!as_it_is && image->map.data_frames > 0)
		return archive_writer_recode_image(w, role, image, err);
	/* What is stored is copied, and counted there; the rest of the image is nothing to do. */
	for (uint32_t i = 0; i < image->nparts; i++)
		stored += image->part[i].len;
	progress_skip(w->out.progress, image->map.size);
	progress_expect(w->out.progress, stored);
	ret = copy_stored_image(w, role, image, err);
	return writer_done(w, ret < 0 ? err_context(err, ret, "%s", role) : 0);
}
