/* See manifest.h. */
#include "registry/manifest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"

#define DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"

/* The type that the text has, or, without parameters, that of the header. */
static void take_type(char type[OCI_TYPE_SIZE], json_t *json, const char *header)
{
	size_t len = strcspn(header, "; ");

	if (json_get_ascii(json, "mediaType", type, OCI_TYPE_SIZE, NULL) == 0)
		return;
	snprintf(type, OCI_TYPE_SIZE, "%.*s", (int)len, header);
}

static int take_image(struct oci_descriptor *d, json_t *entry, struct err *err)
{
	uint8_t digest[DIGEST_SIZE];
	int ret = json_get_ascii(entry, "digest", d->digest, sizeof(d->digest), err);

	if (ret < 0)
		return ret;
	if (!digest_parse(d->digest, digest))
		return err_set(err, ERR_INTEGRITY, "the digest of an image is not a SHA-256");
	ret = json_get_uint(entry, "size", 1, JSON_MAX_BYTES, &d->size, err);
	if (ret < 0)
		return ret;
	return json_get_ascii(entry, "mediaType", d->media_type, sizeof(d->media_type), err);
}

static bool is_image(json_t *entry)
{
	const char *type = json_string_value(json_object_get(entry, "mediaType"));

	return type != NULL &&
	       (strcmp(type, OCI_MANIFEST_TYPE) == 0 || strcmp(type, DOCKER_MANIFEST) == 0);
}

/* 2: for this host; 1: it does not say for which; 0: for another. */
static int fitness(json_t *entry)
{
	json_t *platform = json_object_get(entry, "platform");
	const char *os = json_string_value(json_object_get(platform, "os"));
	const char *arch = json_string_value(json_object_get(platform, "architecture"));

	if (platform == NULL || os == NULL || arch == NULL)
		return 1;
	return strcmp(os, "linux") == 0 && strcmp(arch, OCI_ARCHITECTURE) == 0 ? 2 : 0;
}

static int choose(struct manifest_choice *choice, json_t *array, struct err *err)
{
	json_t *best = NULL, *entry;
	size_t index;
	int fit = 0;

	if (json_array_size(array) > OCI_MAX_LAYERS)
		return err_set(err, ERR_INTEGRITY, "more than %u images", OCI_MAX_LAYERS);
	json_array_foreach(array, index, entry)
	{
		if (is_image(entry) && fitness(entry) > fit) {
			best = entry;
			fit = fitness(entry);
		}
	}
	choice->index = true;
	return best != NULL ? take_image(&choice->image, best, err)
			    : err_set(err, ERR_INCOMPATIBLE,
				      "it has no image for linux on " OCI_ARCHITECTURE);
}

int manifest_look(struct manifest_choice *choice, const uint8_t *text, size_t len, const char *type,
		  struct err *err)
{
	cleanup_json json_t *json = json_parse(text, len, err);
	json_t *array;
	uint64_t version;
	int ret;

	*choice = (struct manifest_choice){0};
	if (json == NULL)
		return err_context(err, -EINVAL, "its manifest");
	ret = json_get_uint(json, "schemaVersion", 1, 2, &version, err);
	if (ret < 0)
		return err_context(err, ret, "its manifest");
	if (version == 1)
		return err_set(err, ERR_INCOMPATIBLE,
			       "its manifest is of docker's schema 1: push it again with a tool of "
			       "this time");
	take_type(choice->media_type, json, type);
	array = json_object_get(json, "manifests");
	if (json_is_array(array))
		return choose(choice, array, err);
	return json_is_array(json_object_get(json, "layers"))
		       ? 0
		       : err_set(err, ERR_INTEGRITY, "its manifest has neither layers nor images");
}

int manifest_parent(const uint8_t *config, size_t len, char parent[DIGEST_TEXT_SIZE],
		    struct err *err)
{
	cleanup_json json_t *json = json_parse(config, len, err);
	uint8_t digest[DIGEST_SIZE];
	json_t *live;
	bool increment;
	int ret;

	parent[0] = '\0';
	if (json == NULL)
		return err_context(err, -EINVAL, "its config");
	live = json_object_get(json, "live");
	if (live == NULL)
		return 0;
	ret = json_get_bool(live, "increment", &increment, err);
	if (ret < 0 || !increment)
		return ret < 0 ? err_context(err, ret, "its config") : 0;
	ret = json_get_ascii(live, "parent", parent, DIGEST_TEXT_SIZE, err);
	if (ret < 0)
		return err_context(err, ret, "its config");
	if (digest_parse(parent, digest))
		return 0;
	parent[0] = '\0';
	return err_set(err, ERR_INTEGRITY, "its config: the parent is not a SHA-256");
}
