/* See oci_index.h. */
#include "format/oci_index.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/num.h"

/* Of the list of what there is, in an error. */
#define LISTED 160u

bool oci_is_index(const char *media_type)
{
	return strcmp(media_type, OCI_INDEX_TYPE) == 0 ||
	       strcmp(media_type, DOCKER_INDEX_TYPE) == 0;
}

bool oci_is_manifest(const char *media_type)
{
	return strcmp(media_type, OCI_MANIFEST_TYPE) == 0 ||
	       strcmp(media_type, DOCKER_MANIFEST_TYPE) == 0;
}

/* What is no plain text is as good as not said. */
static void decode_platform(struct oci_platform *platform, json_t *entry)
{
	json_t *json = json_object_get(entry, "platform");

	*platform = (struct oci_platform){.os = ""};
	if (json_get_ascii(json, "os", platform->os, sizeof(platform->os), NULL) < 0 ||
	    json_get_ascii(json, "architecture", platform->architecture,
			   sizeof(platform->architecture), NULL) < 0)
		*platform = (struct oci_platform){.os = ""};
}

/* False: it is neither image nor index. One that is of no use is an error when it is chosen, and not
 * before. */
static bool decode_entry(struct oci_index_entry *e, json_t *json)
{
	struct oci_descriptor *d = &e->image;
	uint8_t digest[DIGEST_SIZE];

	*e = (struct oci_index_entry){.image = {.size = 0}};
	if (json_get_ascii(json, "mediaType", d->media_type, sizeof(d->media_type), NULL) < 0 ||
	    !(oci_is_manifest(d->media_type) || oci_is_index(d->media_type)))
		return false;
	if (json_get_uint(json, "size", 1, JSON_MAX_BYTES, &d->size, NULL) < 0 ||
	    json_get_ascii(json, "digest", d->digest, sizeof(d->digest), NULL) < 0 ||
	    !digest_parse(d->digest, digest))
		d->digest[0] = '\0';
	decode_platform(&e->platform, json);
	return true;
}

static int decode_manifests(json_t **array, json_t *json, struct err *err)
{
	int ret = json_get_array(json, "manifests", array, err);

	if (ret < 0)
		return ret;
	return json_array_size(*array) <= OCI_MAX_LAYERS
		       ? 0
		       : err_set(err, ERR_INTEGRITY, "more than %u images", OCI_MAX_LAYERS);
}

int oci_index_decode(struct oci_index *index, const uint8_t *text, size_t len, struct err *err)
{
	cleanup_json json_t *json = json_parse(text, len, err);
	json_t *array, *entry;
	uint64_t version;
	size_t i;
	int ret;

	*index = (struct oci_index){0};
	if (json == NULL)
		return -EINVAL;
	ret = json_get_uint(json, "schemaVersion", 2, 2, &version, err);
	if (ret < 0)
		return ret;
	ret = decode_manifests(&array, json, err);
	if (ret < 0)
		return ret;
	index->item = calloc(json_array_size(array) + 1, sizeof(index->item[0]));
	index->nested = calloc(json_array_size(array) + 1, sizeof(index->nested[0]));
	if (index->item == NULL || index->nested == NULL) {
		oci_index_free(index);
		return err_sys(err, ENOMEM, "read an index");
	}
	json_array_foreach(array, i, entry)
	{
		struct oci_index_entry e;

		if (!decode_entry(&e, entry))
			continue;
		if (oci_is_manifest(e.image.media_type))
			index->item[index->count++] = e;
		else
			index->nested[index->nnested++] = e;
	}
	return 0;
}

void oci_index_free(struct oci_index *index)
{
	free(index->item);
	free(index->nested);
	*index = (struct oci_index){0};
}

int oci_platform_fits(const struct oci_platform *platform)
{
	if (platform->os[0] == '\0')
		return 1;
	return strcmp(platform->os, "linux") == 0 &&
			       strcmp(platform->architecture, OCI_ARCHITECTURE) == 0
		       ? 2
		       : 0;
}

/* "linux/arm64, linux/s390x" */
static void list_platforms(const struct oci_index *index, char text[LISTED])
{
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < index->count && used < LISTED; i++) {
		char one[2 * OCI_PLATFORM_SIZE];

		oci_platform_text(&index->item[i].platform, one);
		used += (size_t)snprintf(text + used, LISTED - used, "%s%s", i > 0 ? ", " : "",
					 one);
	}
}

int oci_index_choose(const struct oci_index *index, const struct oci_index_entry **chosen,
		     struct err *err)
{
	char there[LISTED];
	int fit = 0;

	*chosen = NULL;
	for (size_t i = 0; i < index->count; i++) {
		const struct oci_platform *platform = &index->item[i].platform;

		if (oci_platform_fits(platform) > fit) {
			*chosen = &index->item[i];
			fit = oci_platform_fits(platform);
		}
	}
	if (index->count == 0)
		return err_set(err, ERR_INCOMPATIBLE, "it lists no image");
	if (*chosen == NULL) {
		list_platforms(index, there);
		return err_set(err, ERR_INCOMPATIBLE,
			       "it has no image for linux/" OCI_ARCHITECTURE ", but for %s", there);
	}
	if ((*chosen)->image.digest[0] == '\0')
		return err_set(err, ERR_INTEGRITY,
			       "the digest of an image is not a SHA-256, or its size is none");
	return 0;
}

void oci_platform_of(struct oci_platform *platform, const char *machine)
{
	static const struct {
		const char *machine, *architecture;
	} names[] = {{"x86_64", "amd64"}, {"aarch64", "arm64"}};

	*platform = (struct oci_platform){.os = "linux"};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(names[i].machine, machine) == 0)
			machine = names[i].architecture;
	}
	snprintf(platform->architecture, sizeof(platform->architecture), "%s", machine);
}

void oci_platform_text(const struct oci_platform *platform, char text[2 * OCI_PLATFORM_SIZE])
{
	if (platform->os[0] == '\0')
		strcpy(text, "-");
	else
		snprintf(text, (size_t)2 * OCI_PLATFORM_SIZE, "%s/%s", platform->os,
			 platform->architecture);
}

/* ---- writing ---- */

static json_t *encode_entry(const struct oci_index_entry *e)
{
	return json_pack("{s:s, s:s, s:I, s:{s:s, s:s}}", "mediaType", e->image.media_type,
			 "digest", e->image.digest, "size", (json_int_t)e->image.size, "platform",
			 "os", e->platform.os, "architecture", e->platform.architecture);
}

/* An entry is in the way of one of the same platform; images alone have one. */
static void remove_platform(json_t *array, const struct oci_platform *platform)
{
	for (size_t i = json_array_size(array); i-- > 0;) {
		json_t *entry = json_array_get(array, i);
		const char *type = json_string_value(json_object_get(entry, "mediaType"));
		struct oci_platform has;

		decode_platform(&has, entry);
		if (type != NULL && oci_is_manifest(type) && strcmp(has.os, platform->os) == 0 &&
		    strcmp(has.architecture, platform->architecture) == 0)
			json_array_remove(array, i);
	}
}

int oci_index_update(struct buf *out, const uint8_t *old, size_t len,
		     const struct oci_index_entry *entry, size_t n, struct err *err)
{
	cleanup_json json_t *json = NULL;
	json_t *array;
	int ret;

	json = old != NULL ? json_parse(old, len, err)
			   : json_pack("{s:i, s:[]}", "schemaVersion", 2, "manifests");
	if (json == NULL)
		return old != NULL ? -EINVAL : err_sys(err, ENOMEM, "write an index");
	ret = decode_manifests(&array, json, err);
	if (ret < 0)
		return ret;
	for (size_t i = 0; i < n; i++)
		remove_platform(array, &entry[i].platform);
	if (json_array_size(array) + n > OCI_MAX_LAYERS)
		return err_set(err, ERR_INTEGRITY, "more than %u images", OCI_MAX_LAYERS);
	for (size_t i = 0; i < n; i++) {
		if (json_array_append_new(array, encode_entry(&entry[i])) < 0)
			return err_sys(err, ENOMEM, "write an index");
	}
	/* A list of docker's has OCI's name from now on: it has what that does not know. */
	if (json_object_set_new(json, "mediaType", json_string(OCI_INDEX_TYPE)) < 0)
		return err_sys(err, ENOMEM, "write an index");
	return json_write(json, out, err);
}
