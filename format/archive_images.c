/*
 * The images of an open archive: maps, parts, hash lists and hot sets, found among its blobs and
 * checked against one another; see archive.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arrival.h"
#include "base/cleanup.h"
#include "base/num.h"
#include "format/archive_internal.h"
#include "format/image/seek_table.h"

#define MAX_MAP_BYTES (UINT64_C(32) + UINT64_C(24) * IMAGE_MAX_EXTENTS)

/* The entry ROLE + suffix, if it is of that type. */
static const struct archive_entry *find_typed(const struct archive *a, const char *role,
					      const char *suffix, const char *type)
{
	char name[OCI_ROLE_SIZE + 32];

	snprintf(name, sizeof(name), "%s%s", role, suffix);
	for (size_t i = 2; i < a->nentries; i++) {
		if (strcmp(a->entries[i].role, name) == 0)
			return strcmp(a->entries[i].media_type, type) == 0 ? &a->entries[i] : NULL;
	}
	return NULL;
}

/* Of a part that still has to arrive the table is read when it is used (image_load_table()): a disk may
 * have many, of which a guest soon reads few. But of the first part: all others are like it. */
static bool is_late(const struct archive *a, const struct image *image, const struct blob *part,
		    uint32_t n)
{
	uint64_t table = u64_min(part->len, seek_table_most((uint32_t)image->part_frames));

	return a->given && n > 0 && part->arrival != NULL &&
	       !arrival_has(part->arrival, part->offset + part->len - table, table);
}

/* How many frames the next part of the image holds, of `left` that the map has behind the parts before it. */
static int part_frames(const struct archive *a, const struct image *image, const struct blob *part,
		       uint64_t left, uint64_t *frames, struct err *err)
{
	uint32_t packed = 0;
	int ret;

	if (image->encoding == IMAGE_FLAT) {
		*frames = part->len / FRAME_SIZE;
		return part->len > 0 && part->len % FRAME_SIZE == 0
			       ? 0
			       : err_set(err, ERR_INTEGRITY, "a part is not whole frames");
	}
	if (is_late(a, image, part, image->nparts)) {
		*frames = u64_min(image->part_frames, left);
		return 0;
	}
	ret = seek_table_frames(part, &packed, err);
	*frames = packed;
	return ret;
}

static const struct archive_entry *find_part(const struct archive *a, const char *role,
					     uint32_t index, const char *type)
{
	char suffix[16];

	snprintf(suffix, sizeof(suffix), ".%u", index);
	return find_typed(a, role, suffix, type);
}

/* All parts but the last, which may be shorter, are of one size. */
static int find_parts(const struct archive *a, const char *role, struct image *image,
		      struct err *err)
{
	bool packed = find_part(a, role, 0, OCI_PACKED_TYPE) != NULL;
	const char *type = packed ? OCI_PACKED_TYPE : OCI_FLAT_TYPE;
	uint64_t frames = 0, total = 0, last = 0;
	const struct archive_entry *part;

	image->encoding = packed ? IMAGE_PACKED : IMAGE_FLAT;
	image->part_frames = 1;
	for (; image->nparts < IMAGE_MAX_PARTS; image->nparts++) {
		uint32_t n = image->nparts;
		int ret;

		part = find_part(a, role, n, type);
		if (part == NULL)
			break;
		ret = part_frames(a, image, &part->blob,
				  image->map.data_frames - u64_min(total, image->map.data_frames),
				  &frames, err);
		if (ret < 0)
			return ret;
		if (n == 0)
			image->part_frames = frames;
		if (n > 0 && (last != image->part_frames || frames > last || frames == 0))
			return err_set(err, ERR_INTEGRITY, "its parts have odd sizes");
		image->part[n] = part->blob;
		digest_parse(part->digest, image->part_digest[n]);
		total += frames;
		last = frames;
	}
	if (image->encrypted && total > 0 && !packed)
		return err_set(err, ERR_INTEGRITY, "it is flat, and cannot be encrypted");
	return total == image->map.data_frames
		       ? 0
		       : err_set(err, ERR_INTEGRITY, "its parts are not what the map says");
}

/* A packed image needs its seek tables and hashes whenever a frame is read. */
static int load_tables(const struct archive *a, struct image *image, struct err *err)
{
	int ret = 0;

	if (image->encoding == IMAGE_FLAT)
		return 0;
	image->table = calloc(image->nparts + 1, sizeof(image->table[0]));
	if (image->table == NULL)
		return err_sys(err, ENOMEM, "read");
	for (uint32_t n = 0; n < image->nparts && ret == 0; n++) {
		if (!is_late(a, image, &image->part[n], n))
			ret = image_load_table(image, n * image->part_frames, err);
	}
	return ret;
}

/* Into memory; what frames are compared with must be the right one. */
static int read_hashes(struct archive *a, struct image *image, struct err *err)
{
	const struct archive_entry *hashes = find_typed(a, image->role, ".hashes", OCI_HASHES_TYPE);
	int ret;

	if (hashes == NULL || image->hash_list != NULL)
		return 0;
	ret = image_check_open(image, err);
	if (ret < 0)
		return ret;
	ret = archive_read_described(a, hashes->descriptor, image->hashes.len, &image->hashes,
				     &image->hash_list, err);
	if (ret < 0 || !image->encrypted)
		return ret;
	return decrypt_bytes(image->key, hashes->role, image->hash_list, image->hashes.len, err);
}

static int find_hashes(struct archive *a, struct image *image, struct err *err)
{
	const struct archive_entry *hashes = find_typed(a, image->role, ".hashes", OCI_HASHES_TYPE);
	uint64_t len = image->map.data_frames * IMAGE_HASH_SIZE;
	bool wanted = (image->encoding == IMAGE_PACKED || image->checked) &&
		      image_check_open(image, NULL) == 0;

	if (image->encrypted)
		len = encrypted_size(len);
	if (hashes != NULL)
		image->hashes = hashes->blob;
	if (image->hashes.len != len)
		return err_set(err, ERR_INTEGRITY, "its hash list is not what the map says");
	return wanted ? read_hashes(a, image, err) : 0;
}

/* Of an image that arrives the hot set comes first, and its frames are read from there. */
static int index_hot(struct archive *a, const struct archive_entry *list, struct image *image,
		     struct err *err)
{
	cleanup_free uint8_t *places = NULL;
	struct blob blob;
	int ret = archive_read_described(a, list->descriptor, image->hotlist.len, &blob, &places,
					 err);

	if (ret < 0)
		return ret;
	image->hot_at = calloc(image->map.data_frames, sizeof(image->hot_at[0]));
	image->hot_place = calloc(blob.len / sizeof(uint64_t), sizeof(image->hot_place[0]));
	if (image->hot_at == NULL || image->hot_place == NULL)
		return err_sys(err, ENOMEM, "read");
	for (uint64_t i = 0; i < blob.len / sizeof(uint64_t); i++) {
		uint64_t place = le_get64(places + i * sizeof(uint64_t));

		if (place >= image->map.data_frames)
			return err_set(err, ERR_INTEGRITY, "the hot set names a place that is not");
		image->hot_at[place] = (uint32_t)i + 1;
		image->hot_place[i] = (uint32_t)place;
	}
	return 0;
}

static int find_hot(struct archive *a, const char *role, struct image *image, struct err *err)
{
	const struct archive_entry *hot = find_typed(a, role, ".hot", OCI_HOT_TYPE);
	const struct archive_entry *list = find_typed(a, role, ".hotlist", OCI_HOTLIST_TYPE);

	if (hot == NULL && list == NULL)
		return 0;
	if (hot == NULL || list == NULL || hot->blob.len % FRAME_SIZE != 0 ||
	    hot->blob.len / FRAME_SIZE > image->map.data_frames ||
	    list->blob.len != hot->blob.len / FRAME_SIZE * sizeof(uint64_t))
		return err_set(err, ERR_INTEGRITY, "its hot set is not what the map says");
	if (image->encrypted)
		return err_set(err, ERR_INTEGRITY, "its hot set is not encrypted");
	image->hot = hot->blob;
	image->hotlist = list->blob;
	return image->checked ? index_hot(a, list, image, err) : 0;
}

/* Only an overlay, or anything in an increment, has something underneath. */
static int check_parents(const struct archive *a, const struct archive_image *image,
			 struct err *err)
{
	size_t len = strlen(image->role), suffix = sizeof(ROLE_OVERLAY_SUFFIX) - 1;

	if (a->appliance.increment)
		return 0;
	if (len > suffix && strcmp(image->role + len - suffix, ROLE_OVERLAY_SUFFIX) == 0)
		return 0;
	for (uint32_t i = 0; i < image->image.map.nextents; i++) {
		if (image->image.map.extents[i].kind == EXTENT_PARENT)
			return err_set(err, ERR_INTEGRITY, "it refers to a parent it cannot have");
	}
	return 0;
}

/* `map` is the layer ROLE.map: oci_content_type() tells roles of maps by that. */
static int read_image(struct archive *a, struct archive_image *image,
		      const struct oci_descriptor *map, struct err *err)
{
	cleanup_free uint8_t *data = NULL;
	struct blob blob;
	int ret;

	memcpy(image->role, map->role, strlen(map->role) - (sizeof(".map") - 1));
	image->image.role = image->role;
	image->image.encrypted = archive_encrypted(a);
	image->image.key = a->key;
	image->image.checked = a->given;
	ret = archive_read_described(a, map, MAX_MAP_BYTES, &blob, &data, err);
	if (ret < 0)
		return ret;
	ret = image_map_decode(&image->image.map, data, blob.len, err);
	if (ret < 0)
		return ret;
	ret = check_parents(a, image, err);
	if (ret < 0)
		return ret;
	ret = find_parts(a, image->role, &image->image, err);
	if (ret < 0)
		return ret;
	ret = load_tables(a, &image->image, err);
	if (ret < 0)
		return ret;
	ret = find_hashes(a, &image->image, err);
	if (ret < 0)
		return ret;
	return find_hot(a, image->role, &image->image, err);
}

/* No part, hash list or hot set without an image. */
static int check_orphans(const struct archive *a, struct err *err)
{
	size_t expected = 0, seen = 0;

	for (size_t i = 0; i < a->nimages; i++)
		expected += a->images[i].image.nparts +
			    (a->images[i].image.hashes.len > 0 ? 1 : 0) +
			    (a->images[i].image.hot.len > 0 ? 2 : 0);
	for (size_t i = 0; i < a->layers.count; i++) {
		const char *type = a->layers.item[i].media_type;

		seen += strcmp(type, OCI_FLAT_TYPE) == 0 || strcmp(type, OCI_PACKED_TYPE) == 0 ||
			strcmp(type, OCI_HASHES_TYPE) == 0 || strcmp(type, OCI_HOT_TYPE) == 0 ||
			strcmp(type, OCI_HOTLIST_TYPE) == 0;
	}
	return seen == expected ? 0
				: err_set(err, ERR_INTEGRITY, "a blob that belongs to no image");
}

static int check_memory(const struct archive *a, struct err *err)
{
	uint64_t expected = a->appliance.live ? a->appliance.memory : 0, memory = 0;

	for (size_t i = 0; i < a->nimages; i++) {
		if (strncmp(a->images[i].role, ROLE_MEMORY ".", sizeof(ROLE_MEMORY)) == 0)
			memory += a->images[i].image.map.size;
	}
	if (memory != expected)
		return err_set(err, ERR_INTEGRITY, "the memory's size is not what the config says");
	return 0;
}

static int check_disks(const struct archive *a, struct err *err)
{
	const struct appliance *app = &a->appliance;
	char role[OCI_ROLE_SIZE];

	for (uint32_t i = 0; i < app->ndisks; i++) {
		const struct image *disk, *overlay;

		snprintf(role, sizeof(role), ROLE_DISK ".%u", i);
		disk = archive_image(a, role);
		snprintf(role, sizeof(role), ROLE_DISK ".%u" ROLE_OVERLAY_SUFFIX, i);
		overlay = archive_image(a, role);
		if (app->disk[i].outside[0] != '\0') {
			if (disk != NULL || overlay != NULL)
				return err_set(err, ERR_INTEGRITY,
					       "disk %u is in the file, and outside of it", i);
			continue;
		}
		/* An increment has what changed since its parent, as an overlay, or nothing. */
		if ((disk == NULL) != app->increment ||
		    (disk != NULL && disk->map.size != app->disk[i].size) ||
		    (overlay != NULL && overlay->map.size != app->disk[i].size))
			return err_set(err, ERR_INTEGRITY,
				       "disk %u is missing or not of the size the config says", i);
	}
	return 0;
}

int archive_read_images(struct archive *a, struct err *err)
{
	int ret;

	a->images = calloc(a->layers.count + 1, sizeof(a->images[0]));
	if (a->images == NULL)
		return err_sys(err, ENOMEM, "read");
	for (size_t i = 0; i < a->layers.count; i++) {
		struct archive_image *image = &a->images[a->nimages];

		if (strcmp(a->layers.item[i].media_type, OCI_MAP_TYPE) != 0)
			continue;
		a->nimages++;
		ret = read_image(a, image, &a->layers.item[i], err);
		if (ret < 0)
			return err_context(err, ret, "%s", image->role);
	}
	ret = check_orphans(a, err);
	if (ret < 0)
		return ret;
	ret = check_memory(a, err);
	return ret < 0 ? ret : check_disks(a, err);
}

/* Only what is flat is ever mapped. */
bool archive_aligned(const struct archive *a)
{
	for (size_t i = 0; i < a->nimages; i++) {
		if (a->images[i].image.hot.offset % FRAME_SIZE != 0)
			return false;
		if (a->images[i].image.encoding == IMAGE_PACKED)
			continue;
		for (uint32_t part = 0; part < a->images[i].image.nparts; part++) {
			if (a->images[i].image.part[part].offset % FRAME_SIZE != 0)
				return false;
		}
	}
	return true;
}

const struct image *archive_image(const struct archive *a, const char *role)
{
	for (size_t i = 0; i < a->nimages; i++) {
		if (strcmp(a->images[i].role, role) == 0)
			return &a->images[i].image;
	}
	return NULL;
}

int archive_load_hashes(struct archive *a, struct err *err)
{
	for (size_t i = 0; i < a->nimages; i++) {
		int ret = read_hashes(a, &a->images[i].image, err);

		if (ret < 0)
			return err_context(err, ret, "%s: %s.hashes", a->path, a->images[i].role);
	}
	return 0;
}
