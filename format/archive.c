/*
 * Opening an archive: from the container down to its blobs, and to images (archive_images.c); see
 * archive.h. Everything is checked here but the digests of bulk blobs (archive_verify.c) and, in a
 * file remembered as good, of any blob.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arrival.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/num.h"
#include "format/archive_internal.h"
#include "format/crypto/minisign.h"
#include "format/oci_index.h"
#include "format/verified.h"
#include "state/statefile.h"

/* What a layout lists, at most. */
#define CANDIDATES OCI_MAX_LAYERS
#define INDEXES	   16u

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
	if (ret < 0)
		return ret;
	if (blob->len != d->size)
		return err_set(err, ERR_INTEGRITY, "%s has %llu bytes, not %llu", path,
			       (unsigned long long)blob->len, (unsigned long long)d->size);
	return 0;
}

/* What arrived wrong is asked for once more. */
static int read_again(const struct blob *blob, const struct oci_descriptor *d, uint8_t *data,
		      struct err *err)
{
	int ret = arrival_again(blob->arrival, blob->offset, blob->len, err);

	if (ret == 0)
		ret = blob_read(blob, 0, data, blob->len, err);
	return ret < 0 ? ret : check_digest(data, blob->len, d->digest, err);
}

int archive_read_described(struct archive *a, const struct oci_descriptor *d, uint64_t max,
			   struct blob *blob, uint8_t **data, struct err *err)
{
	int ret;

	*data = NULL;
	ret = locate(a, d, blob, err);
	if (ret < 0)
		return ret;
	ret = blob_read_all(blob, max, data, err);
	if (ret < 0 || a->known)
		return ret;
	ret = check_digest(*data, blob->len, d->digest, err);
	if (ret < 0 && blob->arrival != NULL && blob->len > 0)
		ret = read_again(blob, d, *data, err);
	if (ret < 0)
		free(take_ptr(*data));
	return ret;
}

/* One of the two files that have a name of their own; -ENOENT when it is not there. */
static int read_named(struct archive *a, const char *name, struct blob *blob, uint8_t **text,
		      struct err *err)
{
	int ret = container_find(&a->container, name, blob, err);

	return ret < 0 ? ret : blob_read_all(blob, JSON_MAX_BYTES, text, err);
}

static int read_layout(struct archive *a, struct err *err)
{
	cleanup_free uint8_t *text = NULL;
	struct blob blob;
	int ret = read_named(a, OCI_LAYOUT_NAME, &blob, &text, err);

	if (ret == -ENOENT)
		return err_set(err, ERR_INTEGRITY, "not a torpor file: it has no " OCI_LAYOUT_NAME);
	if (ret < 0)
		return err_context(err, ret, OCI_LAYOUT_NAME);
	ret = oci_check_layout(text, blob.len, err);
	return ret < 0 ? err_context(err, ret, OCI_LAYOUT_NAME) : 0;
}

/* Entries of index.json and of the indexes that it lists. */
struct candidates {
	struct oci_index_entry item[CANDIDATES];
	size_t count;
	unsigned indexes;
};

static int add_candidate(struct candidates *c, const struct oci_index_entry *entry, struct err *err)
{
	if (entry->image.digest[0] == '\0')
		return err_set(err, ERR_INTEGRITY, "a digest is not a SHA-256, or a size is none");
	for (size_t i = 0; i < c->count; i++) {
		if (strcmp(c->item[i].image.digest, entry->image.digest) == 0)
			return 0;
	}
	if (c->count == CANDIDATES)
		return err_set(err, ERR_INTEGRITY, "more than %u images", CANDIDATES);
	c->item[c->count++] = *entry;
	return 0;
}

static int gather_candidates(struct archive *a, const uint8_t *text, size_t len,
			     struct candidates *c, struct err *err)
{
	cleanup_oci_index struct oci_index index;
	int ret = oci_index_decode(&index, text, len, err);

	for (size_t i = 0; ret == 0 && i < index.count; i++)
		ret = add_candidate(c, &index.item[i], err);
	for (size_t i = 0; ret == 0 && i < index.nnested; i++) {
		cleanup_free uint8_t *inner = NULL;
		struct blob blob;

		if (index.nested[i].image.digest[0] == '\0' || ++c->indexes > INDEXES)
			return err_set(err, ERR_INTEGRITY,
				       "an index in it is malformed, or there are "
				       "more than %u",
				       INDEXES);
		ret = archive_read_described(a, &index.nested[i].image, JSON_MAX_BYTES, &blob,
					     &inner, err);
		if (ret == 0)
			ret = gather_candidates(a, inner, blob.len, c, err);
	}
	return ret;
}

static int read_index(struct archive *a, struct candidates *c, struct err *err)
{
	cleanup_free uint8_t *text = NULL;
	int ret = read_named(a, OCI_INDEX_NAME, &a->index_blob, &text, err);

	if (ret == 0)
		ret = gather_candidates(a, text, a->index_blob.len, c, err);
	return ret < 0 ? err_context(err, ret, OCI_INDEX_NAME) : 0;
}

/* Of OCI, and of Docker before it. */
static bool is_container_image(const char *config_type)
{
	return strcmp(config_type, "application/vnd.oci.image.config.v1+json") == 0 ||
	       strcmp(config_type, "application/vnd.docker.container.image.v1+json") == 0;
}

/* Is it a config of this version? One of a newer version is refused as such. */
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
	if (is_container_image(config->media_type))
		return err_set(
			err, ERR_INTEGRITY,
			"not a torpor file but a container's image: torpor run docker://REF, "
			"or oci-archive:FILE, boots it");
	return err_set(err, ERR_INTEGRITY, "not a torpor file: no config of type " OCI_CONFIG_TYPE);
}

static int read_manifest(struct archive *a, const struct oci_descriptor *manifest, struct err *err)
{
	cleanup_free uint8_t *text = NULL;
	struct blob blob;
	int ret = archive_read_described(a, manifest, JSON_MAX_BYTES, &blob, &text, err);

	if (ret < 0)
		return err_context(err, ret, "manifest");
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

/* Of the candidates that fit as well as this, those that are appliances; *found says how many. The
 * archive has the first of them. */
static int try_candidates(struct archive *a, const struct candidates *c, int fit, unsigned *found,
			  struct err *err)
{
	struct oci_descriptors layers = {0};
	struct oci_descriptor manifest = {0}, config = {0};
	int ret = 0;

	*found = 0;
	for (size_t i = 0; i < c->count && *found < 2; i++) {
		struct err why = {0};
		int got;

		if (oci_platform_fits(&c->item[i].platform) != fit)
			continue;
		got = read_manifest(a, &c->item[i].image, &why);
		if (got < 0) {
			ret = ret < 0 ? ret : err_copy(err, got, &why);
			continue;
		}
		if ((*found)++ == 0) {
			layers = a->layers;
			manifest = a->manifest;
			config = a->config;
		} else {
			oci_descriptors_free(&a->layers);
		}
		a->layers = (struct oci_descriptors){0};
	}
	a->layers = layers;
	a->manifest = manifest;
	a->config = config;
	return ret;
}

/* An index may list several images; ours must be the only one with our kind of config, or the only
 * one of those for this host. One for another host can be looked at. */
static int choose_manifest(struct archive *a, struct err *err)
{
	cleanup_free struct candidates *c = calloc(1, sizeof(*c));
	struct err why = {0}; /* what is wrong with the best one */
	int ret, failed = 0;

	if (c == NULL)
		return err_sys(err, ENOMEM, "read");
	ret = read_index(a, c, err);
	for (int fit = 2; ret == 0 && fit >= 0; fit--) {
		struct err what = {0};
		unsigned found;
		int got = try_candidates(a, c, fit, &found, &what);

		if (found == 1)
			return 0;
		if (found > 1)
			return err_set(err, fit > 0 ? ERR_INTEGRITY : ERR_INCOMPATIBLE,
				       "more than one appliance in the file%s",
				       fit > 0 ? "" : ", and none for linux/" OCI_ARCHITECTURE);
		if (got < 0 && failed == 0)
			failed = err_copy(&why, got, &what);
	}
	if (ret < 0)
		return ret;
	return failed < 0 ? err_copy(err, failed, &why)
			  : err_set(err, ERR_INTEGRITY,
				    "not a torpor file: no config of type " OCI_CONFIG_TYPE);
}

/* The signature's text, or NULL in *text when there is none. */
static int read_signature(struct archive *a, char **text, struct err *err)
{
	uint8_t *data = NULL;
	struct blob blob;

	*text = NULL;
	for (size_t i = 0; i < a->layers.count; i++) {
		const struct oci_descriptor *d = &a->layers.item[i];
		int ret;

		if (strcmp(d->role, ROLE_SIGNATURE) != 0)
			continue;
		/* Two of them are refused later (check_layer()): the last one is verified. */
		free(*text);
		*text = NULL;
		ret = archive_read_described(a, d, MINISIGN_TEXT, &blob, &data, err);
		if (ret < 0)
			return err_context(err, ret, ROLE_SIGNATURE);
		*text = (char *)data;
	}
	return 0;
}

static int read_config(struct archive *a, struct blob *blob, struct err *err)
{
	cleanup_free uint8_t *text = NULL;
	cleanup_free char *signature = NULL;
	int ret = archive_read_described(a, &a->config, JSON_MAX_BYTES, blob, &text, err);

	if (ret < 0)
		return err_context(err, ret, "config");
	if (a->params->verify_signature != NULL) {
		ret = read_signature(a, &signature, err);
		if (ret < 0)
			return ret;
		ret = a->params->verify_signature(a->params->opaque, text, blob->len, signature,
						  err);
		if (ret < 0)
			return ret;
	}
	ret = appliance_decode(&a->appliance, text, blob->len, err);
	return ret < 0 ? ret : archive_unlock(a, text, blob->len, err);
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
	return false;
}

static bool is_content(const struct oci_descriptor *layer)
{
	return oci_is_content(layer->media_type) || oci_content_type(layer->role) != NULL;
}

/* What the config names is what the manifest has, and means the same there. */
static int check_content(const struct archive *a, const struct oci_descriptor *layer,
			 struct err *err)
{
	const char *digest = appliance_content(&a->appliance, layer->role);
	const char *type = oci_content_type(layer->role);

	if (type == NULL || strcmp(type, layer->media_type) != 0)
		return err_set(err, ERR_INTEGRITY, "%s cannot be of type %s", layer->role,
			       layer->media_type);
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
	if (is_content(layer))
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
		seen += is_content(&a->layers.item[i]);
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
	if (ret < 0)
		return ret;
	for (size_t i = 0; i < a->layers.count; i++) {
		const struct oci_descriptor *d = &a->layers.item[i];
		struct archive_entry *entry = &a->entries[a->nentries];

		*entry = (struct archive_entry){d->role, d->media_type, d->digest, {0}, d};
		ret = check_layer(a, d, err);
		if (ret < 0)
			return ret;
		ret = locate(a, d, &entry->blob, err);
		if (ret < 0)
			return ret;
		a->nentries++;
	}
	return count_contents(a, err);
}

const struct archive_entry *archive_find(const struct archive *a, const char *role)
{
	for (size_t i = 2; i < a->nentries; i++) {
		if (strcmp(a->entries[i].role, role) == 0)
			return &a->entries[i];
	}
	return NULL;
}

static int check_state(const struct archive *a, struct err *err)
{
	const struct archive_entry *state = archive_find(a, ROLE_STATE);
	uint64_t max = STATEFILE_MAX_BYTES;

	if (archive_encrypted(a))
		max = encrypted_size(max);
	if ((state != NULL) != a->appliance.live || (state != NULL && state->blob.len > max))
		return err_set(err, ERR_INTEGRITY,
			       "the state is missing, superfluous or too large");
	return 0;
}

/* From an open container on. */
static int read_archive(struct archive *a, struct err *err)
{
	struct blob config;
	int ret;

	if (!a->given) {
		if (fstat(a->container.fd, &a->st) < 0)
			return err_sys(err, errno, "open");
		a->known = !a->container.folder && verified_known(&a->st);
		a->settled = a->known || (!a->container.folder && verified_settle(&a->st));
	}
	ret = read_layout(a, err);
	if (ret < 0)
		return ret;
	ret = choose_manifest(a, err);
	if (ret < 0)
		return ret;
	ret = read_config(a, &config, err);
	if (ret < 0)
		return ret;
	ret = list_entries(a, &config, err);
	if (ret < 0)
		return ret;
	ret = check_state(a, err);
	if (ret < 0)
		return ret;
	ret = archive_open_blobs(a, err);
	return ret < 0 ? ret : archive_read_images(a, err);
}

int archive_open_with(struct archive **out, const char *path,
		      const struct archive_open_params *params, struct err *err)
{
	cleanup_archive struct archive *a = calloc(1, sizeof(*a));
	int ret;

	*out = NULL;
	if (a == NULL) {
		if (params->fd >= 0)
			close(params->fd);
		return err_sys(err, ENOMEM, "%s", path);
	}
	a->params = params;
	for (unsigned i = 0; i < ARRAY_SIZE(a->opened); i++)
		a->opened[i].fd = -1;
	a->given = params->members != NULL;
	if (a->given)
		ret = container_give(&a->container, params->members, params->nmembers, err);
	else if (params->fd < 0)
		ret = container_open(&a->container, path, err);
	else
		ret = container_take(&a->container, params->fd, err);
	if (ret < 0)
		return err_context(err, ret, "%s", path);
	a->path = strdup(path);
	if (a->path == NULL)
		return err_sys(err, ENOMEM, "%s", path);
	ret = read_archive(a, err);
	a->params = NULL;
	if (ret < 0)
		return err_context(err, ret, "%s", path);
	*out = take_ptr(a);
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

	if (ret < 0)
		return err_context(err, ret, "%s", path);
	ret = read_layout(&a, err);
	if (ret == 0)
		ret = choose_manifest(&a, err);
	strcpy(digest, ret == 0 ? a.config.digest : "");
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
	archive_forget_key(a);
	free(a->entries);
	oci_descriptors_free(&a->layers);
	appliance_free(&a->appliance);
	container_close(&a->container);
	free(a->path);
	free(a);
}

void archive_watch(struct archive *a, struct progress *progress)
{
	a->progress = progress;
}

struct progress *archive_progress(const struct archive *a)
{
	return a->progress;
}

uint64_t archive_image_bytes(const struct archive *a)
{
	uint64_t size = 0;

	for (size_t i = 0; i < a->nimages; i++)
		size += a->images[i].image.map.size;
	return size;
}

const char *archive_path(const struct archive *a)
{
	return a->path;
}

const struct appliance *archive_appliance(const struct archive *a)
{
	return &a->appliance;
}

bool archive_is_given(const struct archive *a)
{
	return a->given;
}

const char *archive_digest(const struct archive *a)
{
	return a->config.digest;
}

size_t archive_entries(const struct archive *a, const struct archive_entry **entries)
{
	*entries = a->entries;
	return a->nentries;
}
