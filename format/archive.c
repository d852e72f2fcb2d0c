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
#include "format/minisign.h"
#include "format/seek_table.h"
#include "format/statefile.h"
#include "format/verified.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/num.h"

#define MAX_MAP_BYTES (UINT64_C(32) + UINT64_C(24) * IMAGE_MAX_EXTENTS)

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

/* The signature's text, or NULL in *text when there is none. */
static int read_signature(struct archive *a, char **text, struct err *err)
{
	uint8_t *data = NULL;
	struct blob blob;
	int ret = 0;

	*text = NULL;
	for (size_t i = 0; ret == 0 && i < a->layers.count; i++) {
		const struct oci_descriptor *d = &a->layers.item[i];

		if (strcmp(d->role, ROLE_SIGNATURE) != 0)
			continue;
		free(data);
		ret = read_described(a, d, MINISIGN_TEXT, &blob, &data, err);
		if (ret == 0)
			data[blob.len] = '\0';
	}
	*text = (char *)data;
	return ret < 0 ? err_context(err, ret, ROLE_SIGNATURE) : 0;
}

static int ask_judge(struct archive *a, const uint8_t *config, size_t len, struct err *err)
{
	cleanup_free char *signature = NULL;
	int ret = read_signature(a, &signature, err);

	return ret < 0 ? ret : a->params->judge(a->params->opaque, config, len, signature, err);
}

static int read_config(struct archive *a, struct blob *blob, struct err *err)
{
	cleanup_free uint8_t *text = NULL;
	int ret = read_described(a, &a->config, JSON_MAX_BYTES, blob, &text, err);

	if (ret < 0)
		return err_context(err, ret, "config");
	if (a->params->judge != NULL)
		ret = ask_judge(a, text, blob->len, err);
	return ret < 0 ? ret : appliance_decode(&a->appliance, text, blob->len, err);
}

static bool role_ok(const char *role)
{
	if (role[0] < 'a' || role[0] > 'z')
		return false;
	return role[strspn(role, "abcdefghijklmnopqrstuvwxyz0123456789.-")] == '\0';
}

static bool type_known(const char *media_type)
{
	static const char *const types[] = {OCI_FLAT_TYPE, OCI_PACKED_TYPE, OCI_HOT_TYPE,
					    OCI_HOTLIST_TYPE, OCI_SIGNATURE_TYPE};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (strcmp(types[i], media_type) == 0)
			return true;
	}
	return oci_is_content(media_type);
}

/* What the config names is what the manifest has. */
static int check_content(const struct archive *a, const struct oci_descriptor *layer,
			 struct err *err)
{
	const char *digest = appliance_content(&a->appliance, layer->role);

	if (digest == NULL || strcmp(digest, layer->digest) != 0)
		return err_set(err, ERR_INTEGRITY, "%s is not the one that the config names",
			       layer->role);
	return 0;
}

static int check_layer(const struct archive *a, const struct oci_descriptor *layer, struct err *err)
{
	if (!role_ok(layer->role))
		return err_set(err, ERR_INTEGRITY, "a blob's role is missing or malformed");
	for (const struct oci_descriptor *d = a->layers.item; d < layer; d++) {
		if (strcmp(d->role, layer->role) == 0)
			return err_set(err, ERR_INTEGRITY, "two blobs are %s", layer->role);
	}
	if (oci_is_content(layer->media_type))
		return check_content(a, layer, err);
	if (type_known(layer->media_type) || layer->optional)
		return 0;
	return err_set(err, ERR_INCOMPATIBLE, "%s is of type %s, which this torpor does not know",
		       layer->role, layer->media_type);
}

/* As many as the config names; each was found there. */
static int count_contents(const struct archive *a, struct err *err)
{
	uint32_t seen = 0;

	for (size_t i = 0; i < a->layers.count; i++)
		seen += oci_is_content(a->layers.item[i].media_type) ? 1 : 0;
	return seen == a->appliance.ncontents
		       ? 0
		       : err_set(err, ERR_INTEGRITY, "something that the config names is missing");
}

static int list_entries(struct archive *a, const struct blob *config, struct err *err)
{
	int ret;

	a->entries = calloc(a->layers.count + 2, sizeof(a->entries[0]));
	if (a->entries == NULL)
		return err_sys(err, ENOMEM, "read");
	a->entries[0] = (struct archive_entry){
		"manifest", a->manifest.media_type, a->manifest.digest, {0}, NULL};
	a->entries[1] = (struct archive_entry){"config", a->config.media_type, a->config.digest,
					       *config, NULL};
	a->nentries = 2;
	ret = locate(a, &a->manifest, &a->entries[0].blob, err);
	for (size_t i = 0; ret == 0 && i < a->layers.count; i++) {
		const struct oci_descriptor *d = &a->layers.item[i];
		struct archive_entry *entry = &a->entries[a->nentries];

		*entry = (struct archive_entry){d->role, d->media_type, d->digest, {0}, d};
		ret = check_layer(a, d, err);
		if (ret == 0)
			ret = locate(a, d, &entry->blob, err);
		a->nentries++;
	}
	return ret < 0 ? ret : count_contents(a, err);
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

/* How many frames a part holds. */
static int count_frames(const struct image *image, const struct blob *part, uint64_t *frames,
			struct err *err)
{
	uint32_t packed = 0;
	int ret = 0;

	if (image->encoding == IMAGE_PACKED) {
		ret = seek_table_frames(part, &packed, err);
		*frames = packed;
	} else if (part->len == 0 || part->len % IMAGE_FRAME != 0) {
		ret = err_set(err, ERR_INTEGRITY, "a part is not whole frames");
	} else {
		*frames = part->len / IMAGE_FRAME;
	}
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
		ret = count_frames(image, &part->blob, &frames, err);
		if (ret < 0)
			return ret;
		if (n == 0)
			image->part_frames = frames;
		if (n > 0 && (last != image->part_frames || frames > last))
			return err_set(err, ERR_INTEGRITY, "its parts have odd sizes");
		image->part[n] = part->blob;
		digest_parse(part->digest, image->part_digest[n]);
		total += frames;
		last = frames;
	}
	return total == image->map.data_frames
		       ? 0
		       : err_set(err, ERR_INTEGRITY, "its parts are not what the map says");
}

/* A packed image needs its seek tables and hashes whenever a frame is read. */
static int load_tables(struct image *image, struct err *err)
{
	int ret = 0;

	if (image->encoding == IMAGE_FLAT)
		return 0;
	image->offsets =
		malloc((image->map.data_frames + image->nparts) * sizeof(image->offsets[0]));
	if (image->offsets == NULL)
		return err_sys(err, ENOMEM, "read");
	for (uint32_t n = 0; ret == 0 && n < image->nparts; n++) {
		uint64_t first = n * image->part_frames;
		uint64_t frames = u64_min(image->part_frames, image->map.data_frames - first);

		ret = seek_table_read(&image->part[n], (uint32_t)frames, image->offsets + first + n,
				      err);
	}
	return ret;
}

static int find_hashes(struct archive *a, const char *role, struct image *image, struct err *err)
{
	const struct archive_entry *hashes = find_typed(a, role, ".hashes", OCI_HASHES_TYPE);
	uint64_t len = image->map.data_frames * IMAGE_HASH_SIZE;

	if (hashes != NULL)
		image->hashes = hashes->blob;
	if (image->hashes.len != len)
		return err_set(err, ERR_INTEGRITY, "its hash list is not what the map says");
	if (image->encoding == IMAGE_FLAT)
		return 0;
	/* Packed frames are compared with it when they are used: it must be the right one. */
	return read_described(a, hashes->descriptor, len, &image->hashes, &image->hash_list, err);
}

static int find_hot(const struct archive *a, const char *role, struct image *image, struct err *err)
{
	const struct archive_entry *hot = find_typed(a, role, ".hot", OCI_HOT_TYPE);
	const struct archive_entry *list = find_typed(a, role, ".hotlist", OCI_HOTLIST_TYPE);

	if (hot == NULL && list == NULL)
		return 0;
	if (hot == NULL || list == NULL || hot->blob.len % IMAGE_FRAME != 0 ||
	    hot->blob.len / IMAGE_FRAME > image->map.data_frames ||
	    list->blob.len != hot->blob.len / IMAGE_FRAME * sizeof(uint64_t))
		return err_set(err, ERR_INTEGRITY, "its hot set is not what the map says");
	image->hot = hot->blob;
	image->hotlist = list->blob;
	return 0;
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
	image->image.role = image->role;
	ret = read_described(a, map, MAX_MAP_BYTES, &blob, &data, err);
	if (ret == 0)
		ret = image_map_decode(&image->image.map, data, blob.len, err);
	if (ret == 0)
		ret = check_parents(a, image, err);
	if (ret == 0)
		ret = find_parts(a, image->role, &image->image, err);
	if (ret == 0)
		ret = load_tables(&image->image, err);
	if (ret == 0)
		ret = find_hashes(a, image->role, &image->image, err);
	if (ret == 0)
		ret = find_hot(a, image->role, &image->image, err);
	return ret < 0 ? err_context(err, ret, "%s", image->role) : 0;
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
		snprintf(role, sizeof(role), ROLE_DISK ".%u" ROLE_OVERLAY_SUFFIX, i);
		overlay = archive_image(a, role);
		/* An increment has what changed since its parent, as an overlay, or nothing. */
		if ((disk == NULL) != app->increment ||
		    (disk != NULL && disk->map.size != app->disk[i].size) ||
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

/* From an open container on. */
static int open_contents(struct archive *a, struct err *err)
{
	if (fstat(a->container.fd, &a->st) < 0)
		return err_sys(err, errno, "open");
	a->known = !a->container.folder && verified_known(&a->st);
	return read_archive(a, err);
}

int archive_open_with(struct archive **out, const char *path,
		      const struct archive_open_params *params, struct err *err)
{
	struct archive *a = calloc(1, sizeof(*a));
	int ret;

	*out = NULL;
	if (a == NULL) {
		if (params->fd >= 0)
			close(params->fd);
		return err_sys(err, ENOMEM, "%s", path);
	}
	a->params = params;
	a->path = strdup(path);
	ret = params->fd < 0 ? container_open(&a->container, path, err)
			     : container_take(&a->container, params->fd, err);
	if (ret == 0 && a->path == NULL)
		ret = err_sys(err, ENOMEM, "open");
	if (ret == 0)
		ret = open_contents(a, err);
	a->params = NULL;
	if (ret < 0) {
		archive_close(a);
		return err_context(err, ret, "%s", path);
	}
	*out = a;
	return 0;
}

int archive_open(struct archive **out, const char *path, struct err *err)
{
	return archive_open_with(out, path, &(struct archive_open_params){.fd = -1}, err);
}

int archive_identify(const char *path, char digest[DIGEST_TEXT_SIZE], struct err *err)
{
	static const struct archive_open_params params = {.fd = -1};
	struct archive a = {.params = &params, .known = true};
	int ret = container_open(&a.container, path, err);

	if (ret == 0)
		ret = read_layout(&a, err);
	if (ret == 0)
		ret = choose_manifest(&a, err);
	if (ret == 0)
		strcpy(digest, a.config.digest);
	oci_descriptors_free(&a.layers);
	container_close(&a.container);
	return ret < 0 ? err_context(err, ret, "%s", path) : 0;
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
	return a->config.digest;
}

/* Only what is flat is ever mapped. */
bool archive_aligned(const struct archive *a)
{
	for (size_t i = 0; i < a->nimages; i++) {
		if (a->images[i].image.hot.offset % IMAGE_FRAME != 0)
			return false;
		if (a->images[i].image.encoding == IMAGE_PACKED)
			continue;
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

int archive_load_hashes(struct archive *a, struct err *err)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < a->nimages; i++)
		ret = image_load_hashes(&a->images[i].image, err);
	return ret;
}

size_t archive_entries(const struct archive *a, const struct archive_entry **entries)
{
	*entries = a->entries;
	return a->nentries;
}
