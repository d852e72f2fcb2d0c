/*
 * Opening an archive: from the container down to images; see archive.h. Everything is checked here
 * but the digests of bulk blobs (archive_verify.c) and, in a file remembered as good, of any blob.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/archive_internal.h"
#include "format/json.h"
#include "format/statefile.h"
#include "format/verified.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/num.h"

#define OVERLAY_SUFFIX ".overlay"
#define MAX_MAP_BYTES  (UINT64_C(32) + UINT64_C(24) * IMAGE_MAX_EXTENTS)

/* Read a small blob into memory the caller frees. */
static int read_all(const struct blob *blob, uint64_t max, uint8_t **data, struct err *err)
{
	int ret;

	*data = NULL;
	if (blob->len > max)
		return err_set(err, ERR_INTEGRITY, "larger than %llu bytes",
			       (unsigned long long)max);
	*data = malloc(blob->len + 1);
	if (*data == NULL)
		return err_sys(err, ENOMEM, "read");
	ret = blob_read(blob, 0, *data, blob->len, err);
	if (ret < 0)
		free(take_ptr(*data));
	return ret;
}

static int check_digest(const uint8_t *data, size_t len, const char *expected, struct err *err)
{
	char text[DIGEST_TEXT_SIZE];
	uint8_t digest[DIGEST_SIZE];
	int ret = digest_bytes(data, len, digest, err);

	if (ret < 0)
		return ret;
	digest_text(digest, text);
	return strcmp(text, expected) == 0
		       ? 0
		       : err_set(err, ERR_INTEGRITY, "its SHA-256 is not what the file says");
}

static int locate(struct archive *a, const struct oci_descriptor *d, struct blob *blob,
		  struct err *err)
{
	char path[OCI_PATH_SIZE];
	int ret;

	oci_blob_path(d->digest, path);
	ret = container_find(&a->container, path, blob, err);
	if (ret == 0 && blob->len != d->size)
		ret = err_set(err, ERR_INTEGRITY, "%s has %llu bytes, not %llu", path,
			      (unsigned long long)blob->len, (unsigned long long)d->size);
	return ret;
}

/* Locate, read and, unless the file is known, hash a small blob. */
static int read_described(struct archive *a, const struct oci_descriptor *d, uint64_t max,
			  struct blob *blob, uint8_t **data, struct err *err)
{
	int ret = locate(a, d, blob, err);

	*data = NULL;
	if (ret == 0)
		ret = read_all(blob, max, data, err);
	if (ret == 0 && !a->known) {
		ret = check_digest(*data, blob->len, d->digest, err);
		if (ret < 0)
			free(take_ptr(*data));
	}
	return ret;
}

static int read_layout(struct archive *a, struct err *err)
{
	cleanup_free uint8_t *text = NULL;
	struct blob blob;
	int ret = container_find(&a->container, OCI_LAYOUT_NAME, &blob, err);

	if (ret == -ENOENT)
		return err_set(err, ERR_INTEGRITY, "not a torpor file: it has no " OCI_LAYOUT_NAME);
	if (ret == 0)
		ret = read_all(&blob, JSON_MAX_BYTES, &text, err);
	if (ret == 0)
		ret = oci_check_layout(text, blob.len, err);
	return ret < 0 ? err_context(err, ret, OCI_LAYOUT_NAME) : 0;
}

static int read_index(struct archive *a, struct oci_descriptors *manifests, struct err *err)
{
	cleanup_free uint8_t *text = NULL;
	int ret = container_find(&a->container, OCI_INDEX_NAME, &a->index_blob, err);

	if (ret == 0)
		ret = read_all(&a->index_blob, JSON_MAX_BYTES, &text, err);
	if (ret == 0)
		ret = oci_decode_index(manifests, text, a->index_blob.len, err);
	return ret < 0 ? err_context(err, ret, OCI_INDEX_NAME) : 0;
}

/* Ours, ours of a version to come (refused by name), or a stranger's. */
static int check_config_type(const struct oci_descriptor *config, struct err *err)
{
	unsigned version;
	int end = 0;

	if (strcmp(config->media_type, OCI_CONFIG_TYPE) == 0)
		return 0;
	if (sscanf(config->media_type, "application/vnd.torpor.config.v%9u+json%n", &version,
		   &end) == 1 &&
	    end > 0 && version > APPLIANCE_FORMAT_MAJOR)
		return err_set(err, ERR_INCOMPATIBLE,
			       "made by a newer torpor (format %u); this one reads %d.x", version,
			       APPLIANCE_FORMAT_MAJOR);
	return err_set(err, ERR_INTEGRITY, "not a torpor file: no config of type " OCI_CONFIG_TYPE);
}

static int read_manifest(struct archive *a, const struct oci_descriptor *manifest, struct err *err)
{
	cleanup_free uint8_t *text = NULL;
	struct blob blob;
	int ret = read_described(a, manifest, JSON_MAX_BYTES, &blob, &text, err);

	if (ret == 0)
		ret = oci_decode_manifest(&a->config, &a->layers, text, blob.len, err);
	if (ret < 0)
		return err_context(err, ret, "manifest");
	ret = check_config_type(&a->config, err);
	if (ret < 0)
		oci_descriptors_free(&a->layers);
	else
		a->manifest = *manifest;
	return ret;
}

/* An index may list several images; ours must be the only one with our kind of config. */
static int choose_manifest(struct archive *a, struct err *err)
{
	struct oci_descriptors manifests, kept = {0};
	struct oci_descriptor config = {0};
	int ret = read_index(a, &manifests, err), found = 0;

	if (ret < 0)
		return ret;
	ret = err_set(err, ERR_INTEGRITY, "not a torpor file: no config of type " OCI_CONFIG_TYPE);
	for (size_t i = 0; i < manifests.count && found < 2; i++) {
		int got = read_manifest(a, &manifests.item[i], manifests.count == 1 ? err : NULL);

		if (got < 0) {
			ret = manifests.count == 1 ? got : ret;
			continue;
		}
		oci_descriptors_free(&kept);
		kept = a->layers;
		config = a->config;
		a->layers = (struct oci_descriptors){0};
		found++;
	}
	oci_descriptors_free(&manifests);
	a->layers = kept;
	a->config = config;
	if (found == 0)
		return ret;
	err_clear(err);
	return found == 1 ? 0 : err_set(err, ERR_INTEGRITY, "more than one appliance in the file");
}

static int read_config(struct archive *a, struct blob *blob, struct err *err)
{
	cleanup_free uint8_t *text = NULL;
	int ret = read_described(a, &a->config, JSON_MAX_BYTES, blob, &text, err);

	if (ret < 0)
		return err_context(err, ret, "config");
	return appliance_decode(&a->appliance, text, blob->len, err);
}

static bool role_ok(const char *role)
{
	if (role[0] < 'a' || role[0] > 'z')
		return false;
	return role[strspn(role, "abcdefghijklmnopqrstuvwxyz0123456789.-")] == '\0';
}

static int check_layer(const struct archive *a, const struct oci_descriptor *layer, struct err *err)
{
	static const char *const types[] = {OCI_KERNEL_TYPE, OCI_INITRD_TYPE, OCI_STATE_TYPE,
					    OCI_MAP_TYPE,    OCI_HASHES_TYPE, OCI_FLAT_TYPE};

	if (!role_ok(layer->role))
		return err_set(err, ERR_INTEGRITY, "a blob's role is missing or malformed");
	for (const struct oci_descriptor *d = a->layers.item; d < layer; d++) {
		if (strcmp(d->role, layer->role) == 0)
			return err_set(err, ERR_INTEGRITY, "two blobs are %s", layer->role);
	}
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (strcmp(types[i], layer->media_type) == 0)
			return 0;
	}
	return err_set(err, ERR_INCOMPATIBLE, "%s is of type %s, which this torpor does not know",
		       layer->role, layer->media_type);
}

static int list_entries(struct archive *a, const struct blob *config, struct err *err)
{
	int ret;

	a->entries = calloc(a->layers.count + 2, sizeof(a->entries[0]));
	if (a->entries == NULL)
		return err_sys(err, ENOMEM, "read");
	a->entries[0] =
		(struct archive_entry){"manifest", a->manifest.media_type, a->manifest.digest, {0}};
	a->entries[1] =
		(struct archive_entry){"config", a->config.media_type, a->config.digest, *config};
	a->nentries = 2;
	ret = locate(a, &a->manifest, &a->entries[0].blob, err);
	for (size_t i = 0; ret == 0 && i < a->layers.count; i++) {
		const struct oci_descriptor *d = &a->layers.item[i];
		struct archive_entry *entry = &a->entries[a->nentries];

		*entry = (struct archive_entry){d->role, d->media_type, d->digest, {0}};
		ret = check_layer(a, d, err);
		if (ret == 0)
			ret = locate(a, d, &entry->blob, err);
		a->nentries++;
	}
	return ret;
}

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

static int find_parts(const struct archive *a, const char *role, struct image *image,
		      struct err *err)
{
	uint64_t frames = 0;

	for (; image->nparts < IMAGE_MAX_PARTS; image->nparts++) {
		uint32_t n = image->nparts;
		const struct archive_entry *part;
		char suffix[16];

		snprintf(suffix, sizeof(suffix), ".%u", n);
		part = find_typed(a, role, suffix, OCI_FLAT_TYPE);
		if (part == NULL)
			break;
		if (part->blob.len == 0 || part->blob.len % IMAGE_FRAME != 0 ||
		    (n > 0 && image->part[n - 1].len != image->part[0].len) ||
		    (n > 0 && part->blob.len > image->part[0].len))
			return err_set(err, ERR_INTEGRITY, "its parts have odd sizes");
		image->part[n] = part->blob;
		digest_parse(part->digest, image->part_digest[n]);
		frames += part->blob.len / IMAGE_FRAME;
	}
	image->part_frames = image->nparts > 0 ? image->part[0].len / IMAGE_FRAME : 1;
	if (frames != image->map.data_frames)
		return err_set(err, ERR_INTEGRITY, "its parts are not what the map says");
	return 0;
}

static int find_hashes(const struct archive *a, const char *role, struct image *image,
		       struct err *err)
{
	const struct archive_entry *hashes = find_typed(a, role, ".hashes", OCI_HASHES_TYPE);
	uint64_t len = image->map.data_frames * IMAGE_HASH_SIZE;

	if (hashes != NULL)
		image->hashes = hashes->blob;
	return image->hashes.len == len
		       ? 0
		       : err_set(err, ERR_INTEGRITY, "its hash list is not what the map says");
}

/* Only an overlay has something underneath. */
static int check_parents(const struct archive_image *image, struct err *err)
{
	size_t len = strlen(image->role), suffix = sizeof(OVERLAY_SUFFIX) - 1;

	if (len > suffix && strcmp(image->role + len - suffix, OVERLAY_SUFFIX) == 0)
		return 0;
	for (uint32_t i = 0; i < image->image.map.nextents; i++) {
		if (image->image.map.extents[i].kind == EXTENT_PARENT)
			return err_set(err, ERR_INTEGRITY, "it refers to a parent it cannot have");
	}
	return 0;
}

/* `map` is the layer ROLE.map. */
static int read_image(struct archive *a, const struct oci_descriptor *map, struct err *err)
{
	struct archive_image *image = &a->images[a->nimages++];
	cleanup_free uint8_t *data = NULL;
	char *dot = strrchr(map->role, '.');
	struct blob blob;
	int ret;

	if (dot == NULL || strcmp(dot, ".map") != 0)
		return err_set(err, ERR_INTEGRITY, "the role of %s does not end in .map",
			       map->role);
	memcpy(image->role, map->role, (size_t)(dot - map->role));
	ret = read_described(a, map, MAX_MAP_BYTES, &blob, &data, err);
	if (ret == 0)
		ret = image_map_decode(&image->image.map, data, blob.len, err);
	if (ret == 0)
		ret = check_parents(image, err);
	if (ret == 0)
		ret = find_parts(a, image->role, &image->image, err);
	if (ret == 0)
		ret = find_hashes(a, image->role, &image->image, err);
	return ret < 0 ? err_context(err, ret, "%s", image->role) : 0;
}

/* No part or hash list without an image. */
static int check_orphans(const struct archive *a, struct err *err)
{
	size_t expected = 0, seen = 0;

	for (size_t i = 0; i < a->nimages; i++)
		expected += a->images[i].image.nparts + (a->images[i].image.hashes.len > 0);
	for (size_t i = 0; i < a->layers.count; i++) {
		const char *type = a->layers.item[i].media_type;

		seen += strcmp(type, OCI_FLAT_TYPE) == 0 || strcmp(type, OCI_HASHES_TYPE) == 0;
	}
	return seen == expected ? 0
				: err_set(err, ERR_INTEGRITY, "a blob that belongs to no image");
}

static int read_images(struct archive *a, struct err *err)
{
	int ret = 0;

	a->images = calloc(a->layers.count + 1, sizeof(a->images[0]));
	if (a->images == NULL)
		return err_sys(err, ENOMEM, "read");
	for (size_t i = 0; ret == 0 && i < a->layers.count; i++) {
		if (strcmp(a->layers.item[i].media_type, OCI_MAP_TYPE) == 0)
			ret = read_image(a, &a->layers.item[i], err);
	}
	return ret < 0 ? ret : check_orphans(a, err);
}

/* What the description promises is there, and nothing else that a machine would act upon. */
static int check_contents(const struct archive *a, struct err *err)
{
	const struct appliance *app = &a->appliance;
	char role[OCI_ROLE_SIZE];
	struct blob state;
	bool has_state = archive_blob(a, ROLE_STATE, &state);
	uint64_t memory = 0;

	if (has_state != app->live || (has_state && state.len > STATEFILE_MAX_BYTES))
		return err_set(err, ERR_INTEGRITY,
			       "the state is missing, superfluous or too large");
	for (size_t i = 0; i < a->nimages; i++) {
		if (strncmp(a->images[i].role, ROLE_MEMORY ".", sizeof(ROLE_MEMORY)) == 0)
			memory += a->images[i].image.map.size;
	}
	if (memory != (app->live ? app->memory : 0))
		return err_set(err, ERR_INTEGRITY, "the memory's size is not what the config says");
	for (uint32_t i = 0; i < app->ndisks; i++) {
		const struct image *disk, *overlay;

		snprintf(role, sizeof(role), ROLE_DISK ".%u", i);
		disk = archive_image(a, role);
		snprintf(role, sizeof(role), ROLE_DISK ".%u" OVERLAY_SUFFIX, i);
		overlay = archive_image(a, role);
		if (disk == NULL || disk->map.size != app->disk[i].size ||
		    (overlay != NULL && overlay->map.size != app->disk[i].size))
			return err_set(err, ERR_INTEGRITY,
				       "disk %u is missing or not of the size the config says", i);
	}
	return 0;
}

static int read_archive(struct archive *a, struct err *err)
{
	struct blob config;
	int ret = read_layout(a, err);

	if (ret == 0)
		ret = choose_manifest(a, err);
	if (ret == 0)
		ret = read_config(a, &config, err);
	if (ret == 0)
		ret = list_entries(a, &config, err);
	if (ret == 0)
		ret = read_images(a, err);
	return ret < 0 ? ret : check_contents(a, err);
}

int archive_open(struct archive **out, const char *path, struct err *err)
{
	struct archive *a = calloc(1, sizeof(*a));
	int ret;

	*out = NULL;
	if (a == NULL)
		return err_sys(err, ENOMEM, "%s", path);
	a->path = strdup(path);
	ret = a->path == NULL ? err_sys(err, ENOMEM, "open")
			      : container_open(&a->container, path, err);
	if (ret == 0) {
		if (fstat(a->container.fd, &a->st) < 0)
			ret = err_sys(err, errno, "open");
		a->known = !a->container.folder && verified_known(&a->st);
	}
	if (ret == 0)
		ret = read_archive(a, err);
	if (ret < 0) {
		archive_close(a);
		return err_context(err, ret, "%s", path);
	}
	*out = a;
	return 0;
}

void archive_close(struct archive *a)
{
	if (a == NULL)
		return;
	for (size_t i = 0; i < a->nimages; i++)
		image_free(&a->images[i].image);
	free(a->images);
	free(a->entries);
	oci_descriptors_free(&a->layers);
	appliance_free(&a->appliance);
	container_close(&a->container);
	free(a->path);
	free(a);
}

const char *archive_path(const struct archive *a)
{
	return a->path;
}

const struct appliance *archive_appliance(const struct archive *a)
{
	return &a->appliance;
}

const char *archive_digest(const struct archive *a)
{
	return a->manifest.digest;
}

bool archive_aligned(const struct archive *a)
{
	for (size_t i = 0; i < a->nimages; i++) {
		for (uint32_t part = 0; part < a->images[i].image.nparts; part++) {
			if (a->images[i].image.part[part].offset % IMAGE_FRAME != 0)
				return false;
		}
	}
	return true;
}

bool archive_blob(const struct archive *a, const char *role, struct blob *blob)
{
	for (size_t i = 2; i < a->nentries; i++) {
		if (strcmp(a->entries[i].role, role) == 0) {
			*blob = a->entries[i].blob;
			return true;
		}
	}
	return false;
}

const struct image *archive_image(const struct archive *a, const char *role)
{
	for (size_t i = 0; i < a->nimages; i++) {
		if (strcmp(a->images[i].role, role) == 0)
			return &a->images[i].image;
	}
	return NULL;
}

size_t archive_entries(const struct archive *a, const struct archive_entry **entries)
{
	*entries = a->entries;
	return a->nentries;
}
