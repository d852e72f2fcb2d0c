/* See image_source.h. */
#include "container/image_source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/num.h"
#include "format/oci_index.h"
#include "store/reference.h"

#define NAME_KEY    "org.opencontainers.image.ref.name"
#define DOCKER_LIST "manifest.json"
#define MAX_NESTED  4u /* indexes in indexes */

/* --- names --- */

static const struct {
	const char *scheme;
	enum image_source_kind kind;
} schemes[] = {
	{REFERENCE_SCHEME, IMAGE_REGISTRY},
	{"oci:", IMAGE_OCI},
	{"oci-archive:", IMAGE_OCI_ARCHIVE},
	{"docker-archive:", IMAGE_DOCKER_ARCHIVE},
	{"tar:", IMAGE_TAR},
};

static bool is_there(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0;
}

/* The tag begins at a colon behind a path that is there; a path without a tag comes first. */
static int split_tag(struct image_name *name, const char *text, struct err *err)
{
	char *colon = name->path;

	if (is_there(name->path))
		return 0;
	while ((colon = strchr(colon + 1, ':')) != NULL) {
		*colon = '\0';
		if (is_there(name->path))
			break;
		*colon = ':';
	}
	if (colon == NULL)
		return 0; /* opening it says what is wrong */
	if (strlen(colon + 1) >= sizeof(name->tag) || colon[1] == '\0')
		return err_set(err, ERR_USAGE, "'%s' does not name an image", text);
	strcpy(name->tag, colon + 1);
	return 0;
}

int image_name_parse(struct image_name *name, const char *text, struct err *err)
{
	const char *rest = text;

	*name = (struct image_name){.kind = IMAGE_FOLDER};
	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
		if (strncmp(text, schemes[i].scheme, strlen(schemes[i].scheme)) != 0)
			continue;
		name->kind = schemes[i].kind;
		rest = text + strlen(schemes[i].scheme);
		break;
	}
	if (rest[0] == '\0' || strlen(text) >= sizeof(name->path))
		return err_set(err, ERR_USAGE, "'%s' does not name an image", text);
	strcpy(name->path, name->kind == IMAGE_REGISTRY ? text : rest);
	if (name->kind == IMAGE_OCI || name->kind == IMAGE_OCI_ARCHIVE ||
	    name->kind == IMAGE_DOCKER_ARCHIVE)
		return split_tag(name, text, err);
	return 0;
}

/* --- JSON in blobs --- */

static int read_member(struct container *c, const char *path, uint8_t **text, size_t *len,
		       struct err *err)
{
	struct blob blob;
	int ret = container_find(c, path, &blob, err);

	if (ret < 0)
		return ret;
	ret = blob_read_all(&blob, JSON_MAX_BYTES, text, err);
	*len = (size_t)blob.len;
	return ret < 0 ? err_context(err, ret, "%s", path) : 0;
}

static int read_blob(struct container *c, const struct oci_descriptor *d, uint8_t **text,
		     size_t *len, struct err *err)
{
	char path[OCI_PATH_SIZE], found[DIGEST_TEXT_SIZE];
	uint8_t digest[DIGEST_SIZE];
	int ret;

	oci_blob_path(d->digest, path);
	ret = read_member(c, path, text, len, err);
	if (ret < 0)
		return ret;
	ret = digest_bytes(*text, *len, digest, err);
	if (ret < 0)
		return ret;
	digest_text(digest, found);
	return strcmp(found, d->digest) == 0 && *len == d->size
		       ? 0
		       : err_set(err, ERR_INTEGRITY, "%s is not what its name says", path);
}

/* --- indexes --- */

/* 2: for this host; 1: it does not say for which; 0: for another, or no image. */
static int fitness(json_t *entry)
{
	const char *type = json_string_value(json_object_get(entry, "mediaType"));
	json_t *platform = json_object_get(entry, "platform");
	const char *os = json_string_value(json_object_get(platform, "os"));
	const char *arch = json_string_value(json_object_get(platform, "architecture"));

	if (type == NULL || !(oci_is_index(type) || oci_is_manifest(type)))
		return 0;
	if (os == NULL || arch == NULL)
		return 1;
	return strcmp(os, "linux") == 0 && strcmp(arch, OCI_ARCHITECTURE) == 0 ? 2 : 0;
}

static const char *name_of(json_t *entry)
{
	json_t *annotations = json_object_get(entry, "annotations");

	return json_string_value(json_object_get(annotations, NAME_KEY));
}

static bool has_name(json_t *entry, const char *tag)
{
	const char *name = name_of(entry);

	return tag[0] == '\0' || (name != NULL && strcmp(name, tag) == 0);
}

static int take_descriptor(struct oci_descriptor *d, json_t *entry, struct err *err)
{
	uint8_t digest[DIGEST_SIZE];
	int ret = json_get_ascii(entry, "mediaType", d->media_type, sizeof(d->media_type), err);

	if (ret < 0)
		return ret;
	ret = json_get_ascii(entry, "digest", d->digest, sizeof(d->digest), err);
	if (ret < 0)
		return ret;
	if (!digest_parse(d->digest, digest))
		return err_set(err, ERR_INTEGRITY, "the digest of an image is not a SHA-256");
	return json_get_uint(entry, "size", 1, JSON_MAX_BYTES, &d->size, err);
}

struct choice {
	json_t *entry; /* borrowed */
	int fitness;
	bool named, several;
};

static void consider(struct choice *c, json_t *entry, const char *tag)
{
	int fit = fitness(entry);

	if (!has_name(entry, tag))
		return;
	c->named = true;
	if (fit == 0 || fit < c->fitness)
		return;
	c->several = fit == c->fitness && !json_equal(json_object_get(entry, "digest"),
						      json_object_get(c->entry, "digest"));
	c->entry = entry;
	c->fitness = fit;
}

/* The image of an index that this host can run. In the outermost one several that fit differ by
 * their names; in others the first would do, but their makers put one there for each platform. */
static int choose(struct oci_descriptor *d, const uint8_t *text, size_t len, const char *tag,
		  struct err *err)
{
	cleanup_json json_t *json = json_parse(text, len, err);
	json_t *array, *entry;
	struct choice c = {0};
	size_t index;
	int ret;

	if (json == NULL)
		return -EINVAL;
	ret = json_get_array(json, "manifests", &array, err);
	if (ret < 0)
		return ret;
	if (json_array_size(array) > OCI_MAX_LAYERS)
		return err_set(err, ERR_INTEGRITY, "more than %u images", OCI_MAX_LAYERS);
	json_array_foreach(array, index, entry)
	{
		consider(&c, entry, tag);
	}
	if (!c.named)
		return err_set(err, ERR_NOT_FOUND, "it holds no image%s%s", tag[0] ? " named " : "",
			       tag);
	if (c.entry == NULL)
		return err_set(err, ERR_INCOMPATIBLE,
			       "it has no image for linux on " OCI_ARCHITECTURE);
	if (c.several)
		return err_set(err, ERR_USAGE, "it holds several images: name one, as in FILE:TAG");
	return take_descriptor(d, c.entry, err);
}

static int find_manifest(struct image_source *s, const char *tag, struct oci_descriptor *d,
			 struct err *err)
{
	cleanup_free uint8_t *text = NULL;
	size_t len;
	int ret = read_member(&s->container, OCI_INDEX_NAME, &text, &len, err);

	if (ret < 0)
		return ret;
	ret = choose(d, text, len, tag, err);
	for (unsigned depth = 0; ret == 0 && oci_is_index(d->media_type); depth++) {
		struct oci_descriptor outer = *d;

		if (depth == MAX_NESTED)
			return err_set(err, ERR_INTEGRITY, "indexes in indexes in indexes");
		free(take_ptr(text));
		ret = read_blob(&s->container, &outer, &text, &len, err);
		if (ret == 0)
			ret = choose(d, text, len, "", err);
	}
	return ret < 0 ? err_context(err, ret, OCI_INDEX_NAME) : 0;
}

/* --- images --- */

static int check_architecture(const struct image_config *config, struct err *err)
{
	bool fits = (config->os[0] == '\0' || strcmp(config->os, "linux") == 0) &&
		    (config->architecture[0] == '\0' ||
		     strcmp(config->architecture, OCI_ARCHITECTURE) == 0);

	return fits ? 0
		    : err_set(err, ERR_INCOMPATIBLE, "it is for %s on %s, not for linux on %s",
			      config->os, config->architecture, OCI_ARCHITECTURE);
}

/* The config has the digest of each layer, unpacked. */
static int take_diff_ids(struct image_source *s, struct err *err)
{
	const struct image_strings *ids = &s->config.diff_ids;
	uint8_t digest[DIGEST_SIZE];

	if (ids->count != s->layers)
		return err_set(err, ERR_INTEGRITY, "%u layers, but digests of %zu", s->layers,
			       ids->count);
	for (unsigned i = 0; i < s->layers; i++) {
		if (!digest_parse(ids->item[i], digest))
			return err_set(err, ERR_INTEGRITY, "the digest of a layer is no SHA-256");
		strcpy(s->layer[i].diff_id, ids->item[i]);
	}
	return 0;
}

static int begin_layers(struct image_source *s, size_t count, struct err *err)
{
	if (count > OCI_MAX_LAYERS)
		return err_set(err, ERR_INTEGRITY, "more than %u layers", OCI_MAX_LAYERS);
	s->layer = calloc(count + 1, sizeof(s->layer[0]));
	s->layers = (unsigned)count;
	return s->layer != NULL ? 0 : err_sys(err, ENOMEM, "read an image");
}

static int find_layers(struct image_source *s, const struct oci_descriptors *list, struct err *err)
{
	int ret = begin_layers(s, list->count, err);

	for (unsigned i = 0; ret == 0 && i < s->layers; i++) {
		const struct oci_descriptor *d = &list->item[i];
		char path[OCI_PATH_SIZE];

		oci_blob_path(d->digest, path);
		strcpy(s->layer[i].media_type, d->media_type);
		strcpy(s->layer[i].digest, d->digest);
		ret = container_find(&s->container, path, &s->layer[i].blob, err);
		if (ret == 0 && s->layer[i].blob.len != d->size)
			ret = err_set(err, ERR_INTEGRITY, "%s has another size than it should",
				      path);
	}
	return ret;
}

static int take_config(struct image_source *s, const uint8_t *text, size_t len, struct err *err)
{
	int ret = image_config_parse(&s->config, text, len, err);

	if (ret < 0)
		return ret;
	ret = check_architecture(&s->config, err);
	return ret < 0 ? ret : take_diff_ids(s, err);
}

static int open_manifest(struct image_source *s, const struct oci_descriptor *manifest,
			 struct err *err)
{
	cleanup_free uint8_t *text = NULL, *config_text = NULL;
	struct oci_descriptors list = {0};
	struct oci_descriptor config;
	size_t len;
	int ret = read_blob(&s->container, manifest, &text, &len, err);

	if (ret < 0)
		return ret;
	ret = oci_decode_manifest(&config, &list, text, len, err);
	if (ret < 0)
		return ret;
	if (strcmp(config.media_type, OCI_CONFIG_TYPE) == 0) {
		oci_descriptors_free(&list);
		return err_set(err, ERR_USAGE,
			       "it is an appliance and no container image: torpor run or resume "
			       "takes it without oci: or oci-archive: before it");
	}
	ret = find_layers(s, &list, err);
	oci_descriptors_free(&list);
	if (ret < 0)
		return ret;
	if (config.size > JSON_MAX_BYTES)
		return err_set(err, ERR_INTEGRITY, "a config of more than 4 MiB");
	ret = read_blob(&s->container, &config, &config_text, &len, err);
	if (ret < 0)
		return ret;
	strcpy(s->manifest, manifest->digest);
	return take_config(s, config_text, len, err);
}

static int open_oci(struct image_source *s, const struct image_name *name, struct err *err)
{
	cleanup_free uint8_t *text = NULL;
	struct oci_descriptor manifest = {0};
	size_t len;
	int ret = container_open(&s->container, name->path, err);

	if (ret < 0)
		return ret;
	ret = read_member(&s->container, OCI_LAYOUT_NAME, &text, &len, err);
	if (ret < 0)
		return ret;
	ret = oci_check_layout(text, len, err);
	if (ret < 0)
		return ret;
	ret = find_manifest(s, name->tag, &manifest, err);
	return ret < 0 ? ret : open_manifest(s, &manifest, err);
}

/* --- docker's archive --- */

static bool is_tagged(json_t *image, const char *tag)
{
	json_t *tags = json_object_get(image, "RepoTags"), *item;
	size_t index;

	json_array_foreach(tags, index, item)
	{
		if (json_is_string(item) && strcmp(json_string_value(item), tag) == 0)
			return true;
	}
	return tag[0] == '\0';
}

static int choose_docker(json_t *list, const char *tag, json_t **image, struct err *err)
{
	json_t *item;
	size_t index;

	*image = NULL;
	json_array_foreach(list, index, item)
	{
		if (!json_is_object(item) || !is_tagged(item, tag))
			continue;
		if (*image != NULL)
			return err_set(err, ERR_USAGE,
				       "it holds several images: name one, as in FILE:NAME:TAG");
		*image = item;
	}
	return *image != NULL ? 0
			      : err_set(err, ERR_NOT_FOUND, "it holds no image%s%s",
					tag[0] ? " named " : "", tag);
}

static int open_docker_image(struct image_source *s, json_t *image, struct err *err)
{
	cleanup_free uint8_t *text = NULL;
	const char *config;
	json_t *layers;
	size_t len;
	int ret = json_get_array(image, "Layers", &layers, err);

	if (ret < 0)
		return ret;
	ret = begin_layers(s, json_array_size(layers), err);
	if (ret < 0)
		return ret;
	for (unsigned i = 0; i < s->layers; i++) {
		const char *path = json_string_value(json_array_get(layers, i));

		if (path == NULL)
			return err_set(err, ERR_INTEGRITY, "a layer without a name");
		ret = container_find(&s->container, path, &s->layer[i].blob, err);
		if (ret < 0)
			return ret;
	}
	ret = json_get_string(image, "Config", &config, err);
	if (ret < 0)
		return ret;
	ret = read_member(&s->container, config, &text, &len, err);
	return ret < 0 ? ret : take_config(s, text, len, err);
}

static int open_docker(struct image_source *s, const struct image_name *name, struct err *err)
{
	cleanup_free uint8_t *text = NULL;
	cleanup_json json_t *list = NULL;
	json_t *image;
	size_t len;
	int ret = container_open(&s->container, name->path, err);

	if (ret < 0)
		return ret;
	ret = read_member(&s->container, DOCKER_LIST, &text, &len, err);
	if (ret < 0)
		return ret;
	list = json_loadb((const char *)text, len, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_array(list))
		return err_set(err, ERR_INTEGRITY, DOCKER_LIST " is not a list of images");
	ret = choose_docker(list, name->tag, &image, err);
	return ret < 0 ? ret : open_docker_image(s, image, err);
}

/* --- a bare tar --- */

static int open_tar(struct image_source *s, const struct image_name *name, struct err *err)
{
	struct stat st;
	int ret = image_config_empty(&s->config, err);

	if (ret < 0)
		return ret;
	s->fd = open(name->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (s->fd < 0)
		return err_sys(err, errno, "open");
	if (fstat(s->fd, &st) < 0)
		return err_sys(err, errno, "open");
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_INTEGRITY, "not a regular file");
	ret = begin_layers(s, 1, err);
	if (ret < 0)
		return ret;
	s->layer[0].blob = (struct blob){.fd = s->fd, .len = (uint64_t)st.st_size};
	return 0;
}

int image_source_open(struct image_source *source, const struct image_name *name, struct err *err)
{
	int ret;

	*source = (struct image_source){.container.fd = -1, .fd = -1};
	if (name->kind == IMAGE_TAR)
		ret = open_tar(source, name, err);
	else if (name->kind == IMAGE_DOCKER_ARCHIVE)
		ret = open_docker(source, name, err);
	else
		ret = open_oci(source, name, err);
	if (ret < 0) {
		image_source_close(source);
		return err_context(err, ret, "%s", name->path);
	}
	return 0;
}

void image_source_close(struct image_source *source)
{
	container_close(&source->container);
	if (source->fd >= 0)
		close(source->fd);
	image_config_free(&source->config);
	free(source->layer);
	*source = (struct image_source){.container.fd = -1, .fd = -1};
}
