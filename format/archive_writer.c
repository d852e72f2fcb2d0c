/* Collecting the contents of a file and publishing it; see archive_writer.h. */
#include "format/archive_writer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/archive.h"
#include "format/archive_writer_internal.h"
#include "format/frame_reader.h"
#include "format/image_write.h"
#include "format/tar.h"
#include "vmm/base/assert.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/num.h"

#define CHUNK	   MIB(1)
#define MAX_LAYERS 90u /* registries refuse images with many more than a hundred */
#define MAX_PARTS  16u

static struct archive_writer *writer_new(const struct writer_way *way, struct err *err)
{
	struct archive_writer *w = malloc(sizeof(*w));

	if (w == NULL)
		err_sys(err, ENOMEM, "write a file");
	else
		*w = (struct archive_writer){.way = way, .layout.w = w};
	return w;
}

int archive_writer_open_stream(struct archive_writer **out, int fd, struct err *err)
{
	struct archive_writer *w = writer_new(&writer_to_stream, err);

	*out = w;
	if (w == NULL)
		return -ENOMEM;
	out_stream(&w->out, fd);
	return 0;
}

static int open_file(struct archive_writer **out, const char *target, struct err *err)
{
	struct archive_writer *w = writer_new(&writer_to_file, err);
	int ret;

	*out = NULL;
	if (w == NULL)
		return -ENOMEM;
	w->end = WRITER_FRONT - TAR_BLOCK;
	ret = out_open(&w->out, target, err);
	if (ret < 0)
		free(w);
	else
		*out = w;
	return ret;
}

int archive_writer_open(struct archive_writer **out, const char *target, struct err *err)
{
	return strcmp(target, "-") == 0 ? archive_writer_open_stream(out, STDOUT_FILENO, err)
					: open_file(out, target, err);
}

static int done(struct archive_writer *w, int ret)
{
	w->failed = w->failed || ret < 0;
	return ret;
}

void archive_writer_pack(struct archive_writer *w, int level)
{
	w->packed = true;
	w->level = level;
}

void archive_writer_flat(struct archive_writer *w)
{
	w->packed = false;
}

int archive_writer_encrypt(struct archive_writer *w, const struct keyring *keys, struct err *err)
{
	int ret = keyring_seal(keys, &w->encryption, &w->own_key, err);

	w->key = w->own_key;
	return done(w, ret);
}

void archive_writer_like(struct archive_writer *w, const struct archive *a)
{
	w->like = true;
	w->key = archive_key(a);
}

uint64_t archive_writer_size(const struct archive_writer *w)
{
	return w->layout.at;
}

void archive_writer_free(struct archive_writer *w)
{
	if (w == NULL)
		return;
	for (size_t i = 0; i < w->nblobs; i++)
		buf_free(&w->blobs[i].data);
	free(w->blobs);
	seal_key_free(w->own_key);
	out_close(&w->out);
	free(w);
}

static struct writer_blob *add_blob(struct archive_writer *w, const char *role,
				    const char *media_type, struct err *err)
{
	struct writer_blob *grown = realloc(w->blobs, (w->nblobs + 1) * sizeof(*grown));
	struct writer_blob *blob;

	if (grown == NULL) {
		err_sys(err, ENOMEM, "write %s", w->out.name);
		return NULL;
	}
	w->blobs = grown;
	blob = &w->blobs[w->nblobs++];
	*blob = (struct writer_blob){0};
	assert(strlen(role) < sizeof(blob->d.role));
	strcpy(blob->d.role, role);
	strcpy(blob->d.media_type, media_type);
	return blob;
}

static const char *media_type_of(const char *role)
{
	return strcmp(role, ROLE_SIGNATURE) == 0 ? OCI_SIGNATURE_TYPE : oci_content_type(role);
}

int writer_add_bulk(struct archive_writer *w, const struct oci_descriptor *d, uint64_t offset,
		    struct err *err)
{
	struct writer_blob *blob = add_blob(w, d->role, d->media_type, err);

	if (blob == NULL)
		return -ENOMEM;
	blob->bulk = true;
	blob->offset = offset;
	blob->d = *d;
	return 0;
}

static int fill_small(struct writer_blob *blob, const void *data, size_t len, struct err *err)
{
	uint8_t digest[DIGEST_SIZE];
	int ret = digest_bytes(data, len, digest, err);

	if (ret < 0)
		return ret;
	digest_text(digest, blob->d.digest);
	blob->d.size = len;
	buf_add(&blob->data, data, len);
	return buf_failed(&blob->data) ? err_sys(err, ENOMEM, "write a file") : 0;
}

static int add_stored(struct archive_writer *w, const char *role, const char *media_type,
		      const void *data, size_t len, struct err *err)
{
	struct writer_blob *blob = add_blob(w, role, media_type, err);

	return blob == NULL ? -ENOMEM : fill_small(blob, data, len, err);
}

/* A content, sealed if they are. */
static int add_small(struct archive_writer *w, const char *role, const char *media_type,
		     const void *data, size_t len, struct err *err)
{
	cleanup_buf struct buf sealed = {0};
	int ret;

	if (w->own_key == NULL)
		return add_stored(w, role, media_type, data, len, err);
	ret = seal_bytes(w->own_key, role, data, len, &sealed, err);
	return ret < 0 ? ret : add_stored(w, role, media_type, sealed.data, sealed.len, err);
}

int writer_copy_hashed(struct archive_out *out, const struct blob *blob, uint64_t offset,
		       char text[DIGEST_TEXT_SIZE], struct err *err)
{
	cleanup_digest struct digest *d = NULL;
	cleanup_free uint8_t *chunk = malloc(CHUNK);
	uint8_t digest[DIGEST_SIZE];
	int ret = chunk != NULL ? digest_new(&d, err) : err_sys(err, ENOMEM, "copy a blob");

	for (uint64_t at = 0; ret == 0 && at < blob->len; at += CHUNK) {
		uint64_t len = u64_min(CHUNK, blob->len - at);

		ret = blob_read(blob, at, chunk, len, err);
		if (ret < 0)
			break;
		digest_add(d, chunk, len);
		if (out != NULL)
			ret = out_write(out, chunk, len, offset + at, err);
	}
	if (ret == 0)
		ret = digest_end(d, digest, err);
	if (ret == 0)
		digest_text(digest, text);
	return ret;
}

static int copy(struct archive_writer *w, const struct oci_descriptor *d, const struct blob *blob,
		struct err *err)
{
	int ret = w->way->copy(w, d, blob, err);

	return done(w, ret < 0 ? err_context(err, ret, "%s", d->role) : 0);
}

int archive_writer_blob(struct archive_writer *w, const char *role, const struct blob *blob,
			struct err *err)
{
	struct oci_descriptor d = {.size = blob->len};
	struct blob sealed;
	int ret;

	snprintf(d.role, sizeof(d.role), "%s", role);
	strcpy(d.media_type, media_type_of(role));
	if (w->own_key == NULL)
		return copy(w, &d, blob, err);
	ret = seal_blob(w->own_key, role, blob, &sealed, err);
	if (ret < 0)
		return done(w, ret);
	d.size = sealed.len;
	ret = copy(w, &d, &sealed, err);
	close(sealed.fd);
	return ret;
}

int archive_writer_bytes(struct archive_writer *w, const char *role, const void *data, size_t len,
			 struct err *err)
{
	return done(w, add_small(w, role, media_type_of(role), data, len, err));
}

int archive_writer_layer(struct archive_writer *w, const struct oci_descriptor *d,
			 const struct blob *blob, struct err *err)
{
	return copy(w, d, blob, err);
}

/* Maps are never sealed. `stored`, if not NULL, is the hash list as it is to be in the file. */
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
	ret = add_stored(w, name, OCI_MAP_TYPE, text.data, text.len, err);
	if (ret < 0 || map->data_frames == 0)
		return ret;
	snprintf(name, sizeof(name), "%s.hashes", role);
	if (stored != NULL)
		return add_stored(w, name, OCI_HASHES_TYPE, stored->data, stored->len, err);
	return add_small(w, name, OCI_HASHES_TYPE, hashes, map->data_frames * IMAGE_HASH_SIZE, err);
}

void writer_describe_part(const char *role, bool packed, uint32_t index, uint64_t size,
			  const uint8_t *digest, struct oci_descriptor *d)
{
	*d = (struct oci_descriptor){.size = size};
	snprintf(d->role, sizeof(d->role), "%s.%u", role, index);
	strcpy(d->media_type, packed ? OCI_PACKED_TYPE : OCI_FLAT_TYPE);
	digest_text(digest, d->digest);
}

/* Fewer parts for later images, so that all layers together stay below what registries take. */
uint32_t writer_parts_allowed(const struct archive_writer *w)
{
	uint64_t left = w->nblobs < MAX_LAYERS ? MAX_LAYERS - w->nblobs : 0;
	uint64_t share = u64_min(left / 4, MAX_PARTS);

	return share > 0 ? (uint32_t)share : 1;
}

static int scan_and_write(struct archive_writer *w, const char *role, struct image_plan *plan,
			  const struct image_source *source, const struct buf *hashes,
			  struct err *err)
{
	int ret = image_scan(plan, source, err);

	assert(w->key == NULL || w->packed);
	plan->key = w->key;
	plan->role = role;
	if (ret == 0)
		ret = w->way->image(w, role, plan, err);
	return ret < 0 ? ret : add_map_and_hashes(w, role, &plan->map, plan->hashes, hashes, err);
}

static int write_image(struct archive_writer *w, const char *role,
		       const struct image_source *source, const struct buf *hashes, struct err *err)
{
	struct image_plan plan;
	int ret = scan_and_write(w, role, &plan, source, hashes, err);

	image_plan_free(&plan);
	return done(w, ret < 0 ? err_context(err, ret, "%s", role) : 0);
}

int archive_writer_image(struct archive_writer *w, const char *role,
			 const struct image_source *source, struct err *err)
{
	return write_image(w, role, source, NULL, err);
}

static int read_stored_hashes(const struct image *image, struct buf *hashes, struct err *err)
{
	uint8_t *room = buf_add(hashes, NULL, image->hashes.len);

	return room != NULL || image->hashes.len == 0
		       ? blob_read(&image->hashes, 0, room, image->hashes.len, err)
		       : err_sys(err, ENOMEM, "copy an image");
}

static int copy_image(struct archive_writer *w, const char *role, const struct image *image,
		      struct err *err)
{
	bool packed = image->encoding == IMAGE_PACKED;
	cleanup_buf struct buf hashes = {0};
	int ret = read_stored_hashes(image, &hashes, err);

	for (uint32_t i = 0; ret == 0 && i < image->nparts; i++) {
		struct oci_descriptor d;

		writer_describe_part(role, packed, i, image->part[i].len, image->part_digest[i],
				     &d);
		ret = w->way->copy(w, &d, &image->part[i], err);
	}
	return ret < 0 ? ret : add_map_and_hashes(w, role, &image->map, NULL, &hashes, err);
}

/* An image as a source. */
struct recode {
	const struct image *image;
	struct frame_readers readers;
};

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
		.exact = true,
	};
	cleanup_buf struct buf hashes = {0};
	bool keep = w->like && image->sealed;
	int ret = keep ? read_stored_hashes(image, &hashes, err) : 0;

	if (ret < 0)
		return done(w, ret);
	frame_readers_init(&r.readers);
	ret = write_image(w, role, &source, keep ? &hashes : NULL, err);
	frame_readers_free(&r.readers);
	return ret;
}

int archive_writer_copy_image(struct archive_writer *w, const char *role, const struct image *image,
			      struct err *err)
{
	bool in_clear = w->own_key == NULL && !image->sealed;
	bool as_it_is = w->packed == (image->encoding == IMAGE_PACKED) && (w->like || in_clear);
	int ret;

	if (!as_it_is && image->map.data_frames > 0)
		return archive_writer_recode_image(w, role, image, err);
	ret = copy_image(w, role, image, err);

	return done(w, ret < 0 ? err_context(err, ret, "%s", role) : 0);
}

static void list_contents(struct appliance *a, const struct archive_writer *w)
{
	a->ncontents = 0;
	for (size_t i = 0; i < w->nblobs; i++) {
		const struct oci_descriptor *d = &w->blobs[i].d;
		struct appliance_content *content = &a->content[a->ncontents];

		if (!oci_is_content(d->media_type))
			continue;
		assert(a->ncontents < APPLIANCE_MAX_CONTENTS);
		memcpy(content->role, d->role, sizeof(content->role));
		memcpy(content->digest, d->digest, sizeof(content->digest));
		a->ncontents++;
	}
	appliance_sort_contents(a);
}

/* Over everything else. */
static int make_tag(const struct archive_writer *w, struct appliance *a, struct err *err)
{
	cleanup_buf struct buf config = {0};
	int ret = appliance_encode(a, &config, err);

	return ret < 0 ? ret
		       : keyring_tag(w->own_key, config.data, config.len, &a->encryption, err);
}

/* The config must be what a reader will accept: find out now, not on waking. */
static int make_config(struct buf *config, const struct archive_writer *w,
		       const struct appliance *given, struct err *err)
{
	struct appliance a = *given, again;
	int ret;

	list_contents(&a, w);
	a.encryption = w->encryption;
	ret = w->own_key != NULL ? make_tag(w, &a, err) : 0;
	if (ret == 0)
		ret = appliance_encode(&a, config, err);
	if (ret == 0)
		ret = appliance_decode(&again, config->data, config->len, err);
	if (ret < 0)
		return ret;
	appliance_free(&again);
	return 0;
}

static int make_manifest(struct writer_front *front, const struct archive_writer *w,
			 struct err *err)
{
	struct oci_descriptors layers = {.count = w->nblobs};
	cleanup_buf struct buf text = {0};
	int ret;

	layers.item = calloc(w->nblobs + 1, sizeof(layers.item[0]));
	if (layers.item == NULL)
		return err_sys(err, ENOMEM, "write a manifest");
	for (size_t i = 0; i < w->nblobs; i++)
		layers.item[i] = w->blobs[i].d;
	ret = oci_encode_manifest(&front->config.d, &layers, &text, err);
	oci_descriptors_free(&layers);
	if (ret < 0)
		return ret;
	strcpy(front->manifest.d.media_type, OCI_MANIFEST_TYPE);
	return fill_small(&front->manifest, text.data, text.len, err);
}

static int make_front(struct writer_front *front, const struct archive_writer *w,
		      const void *config, size_t len, struct err *err)
{
	int ret = fill_small(&front->config, config, len, err);

	strcpy(front->config.d.media_type, OCI_CONFIG_TYPE);
	if (ret == 0)
		ret = make_manifest(front, w, err);
	if (ret == 0)
		ret = oci_encode_index(&front->manifest.d, &front->index, err);
	oci_encode_layout(&front->layout);
	if (ret == 0 && buf_failed(&front->layout))
		ret = err_sys(err, ENOMEM, "write a file");
	return ret;
}

/* A reader refuses two blobs of one role. */
static int check_roles(const struct archive_writer *w, struct err *err)
{
	for (size_t i = 0; i < w->nblobs; i++) {
		for (size_t n = 0; n < i; n++) {
			if (strcmp(w->blobs[n].d.role, w->blobs[i].d.role) == 0)
				return err_set(err, ERR_INTEGRITY, "two blobs would be %s",
					       w->blobs[i].d.role);
		}
	}
	return 0;
}

/* `digest` may be NULL. */
static int publish(struct archive_writer *w, const void *config, size_t len, char *digest,
		   struct err *err)
{
	struct writer_front front = {0};
	int ret = check_roles(w, err);

	if (ret == 0)
		ret = make_front(&front, w, config, len, err);
	if (ret == 0)
		ret = w->way->finish(w, &front, err);
	if (ret == 0 && digest != NULL)
		strcpy(digest, front.config.d.digest);
	buf_free(&front.config.data);
	buf_free(&front.manifest.data);
	buf_free(&front.index);
	buf_free(&front.layout);
	return ret;
}

int archive_writer_publish(struct archive_writer *w, const struct appliance *a,
			   char digest[DIGEST_TEXT_SIZE], struct err *err)
{
	cleanup_buf struct buf config = {0};
	int ret;

	assert(!w->failed);
	ret = make_config(&config, w, a, err);
	if (ret == 0)
		ret = publish(w, config.data, config.len, digest, err);
	return done(w, ret);
}

/* Each one that `a` names is there, and no other. */
static int compare_contents(const struct archive_writer *w, const struct appliance *a,
			    struct err *err)
{
	struct appliance ours = {0};

	list_contents(&ours, w);
	for (uint32_t i = 0; i < a->ncontents; i++) {
		const char *digest = appliance_content(&ours, a->content[i].role);

		if (digest == NULL || strcmp(digest, a->content[i].digest) != 0)
			return err_set(err, ERR_INTEGRITY,
				       "%s is not the one that the config names",
				       a->content[i].role);
	}
	return ours.ncontents == a->ncontents
		       ? 0
		       : err_set(err, ERR_INTEGRITY, "there is more than the config names");
}

int archive_writer_publish_as(struct archive_writer *w, const struct appliance *a,
			      const void *config, size_t len, struct err *err)
{
	int ret;

	assert(!w->failed);
	ret = compare_contents(w, a, err);
	if (ret == 0)
		ret = publish(w, config, len, NULL, err);
	return done(w, ret);
}
