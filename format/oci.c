/* OCI's JSON documents; see oci.h. Members we do not know are ignored, as that specification
 * asks. */
#include "format/oci.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/num.h"

#define LAYOUT_VERSION "1.0.0"

void oci_descriptors_free(struct oci_descriptors *list)
{
	free(list->item);
	*list = (struct oci_descriptors){0};
}

static const struct {
	const char *role; /* all of it, or from its last dot on */
	const char *media_type;
} contents[] = {
	{"kernel", OCI_KERNEL_TYPE}, {"initrd", OCI_INITRD_TYPE},  {"state", OCI_STATE_TYPE},
	{".map", OCI_MAP_TYPE},	     {".hashes", OCI_HASHES_TYPE},
};

bool oci_is_content(const char *media_type)
{
	for (size_t i = 0; i < ARRAY_SIZE(contents); i++) {
		if (strcmp(contents[i].media_type, media_type) == 0)
			return true;
	}
	return false;
}

const char *oci_content_type(const char *role)
{
	const char *dot = strrchr(role, '.');

	for (size_t i = 0; i < ARRAY_SIZE(contents); i++) {
		if (strcmp(contents[i].role, dot != NULL ? dot : role) == 0)
			return contents[i].media_type;
	}
	return NULL;
}

void oci_blob_path(const char *digest, char path[OCI_PATH_SIZE])
{
	strcpy(path, OCI_BLOB_PREFIX);
	strcat(path, strchr(digest, ':') + 1);
}

int oci_check_layout(const uint8_t *text, size_t len, struct err *err)
{
	cleanup_json json_t *json = json_parse(text, len, err);
	const char *version;
	int ret;

	if (json == NULL)
		return -EINVAL;
	ret = json_get_string(json, "imageLayoutVersion", &version, err);
	if (ret < 0)
		return ret;
	if (strcmp(version, LAYOUT_VERSION) != 0)
		return err_set(err, ERR_INCOMPATIBLE, "OCI image layout version %.20s, not %s",
			       version, LAYOUT_VERSION);
	return 0;
}

/* Annotations are strings (OCI image spec, "Annotations"). */
static int decode_optional(struct oci_descriptor *d, json_t *annotations, struct err *err)
{
	const char *text;
	int ret = json_get_string(annotations, OCI_OPTIONAL_KEY, &text, err);

	if (ret < 0)
		return ret;
	d->optional = strcmp(text, "true") == 0;
	return d->optional ? 0 : err_set(err, ERR_INTEGRITY, OCI_OPTIONAL_KEY " is not \"true\"");
}

static int decode_descriptor(struct oci_descriptor *d, json_t *json, struct err *err)
{
	json_t *annotations = json_object_get(json, "annotations");
	uint8_t digest[DIGEST_SIZE];
	int ret = json_get_ascii(json, "mediaType", d->media_type, sizeof(d->media_type), err);

	if (ret < 0)
		return ret;
	ret = json_get_ascii(json, "digest", d->digest, sizeof(d->digest), err);
	if (ret < 0)
		return ret;
	if (!digest_parse(d->digest, digest))
		return err_set(err, ERR_INTEGRITY, "a digest is not a SHA-256");
	ret = json_get_uint(json, "size", 0, INT64_MAX, &d->size, err);
	if (ret < 0)
		return ret;
	if (json_object_get(annotations, OCI_ROLE_KEY) != NULL)
		ret = json_get_ascii(annotations, OCI_ROLE_KEY, d->role, sizeof(d->role), err);
	if (ret < 0)
		return ret;
	if (json_object_get(annotations, OCI_OPTIONAL_KEY) != NULL)
		ret = decode_optional(d, annotations, err);
	return ret;
}

static int decode_descriptors(struct oci_descriptors *list, json_t *array, struct err *err)
{
	size_t count = json_array_size(array);

	if (count > OCI_MAX_LAYERS)
		return err_set(err, ERR_INTEGRITY, "more than %u blobs", OCI_MAX_LAYERS);
	list->item = calloc(count + 1, sizeof(list->item[0]));
	if (list->item == NULL)
		return err_sys(err, ENOMEM, "read a manifest");
	for (size_t i = 0; i < count; i++) {
		struct oci_descriptor d = {0};
		int ret = decode_descriptor(&d, json_array_get(array, i), err);

		if (ret < 0) {
			oci_descriptors_free(list);
			return ret;
		}
		list->item[list->count++] = d;
	}
	return 0;
}

static int check_schema(json_t *json, struct err *err)
{
	uint64_t version;

	return json_get_uint(json, "schemaVersion", 2, 2, &version, err);
}

int oci_decode_manifest(struct oci_descriptor *config, struct oci_descriptors *layers,
			const uint8_t *text, size_t len, struct err *err)
{
	cleanup_json json_t *json = json_parse(text, len, err);
	json_t *object, *array;
	int ret;

	*config = (struct oci_descriptor){0};
	*layers = (struct oci_descriptors){0};
	if (json == NULL)
		return -EINVAL;
	ret = check_schema(json, err);
	if (ret < 0)
		return ret;
	ret = json_get_object(json, "config", &object, err);
	if (ret < 0)
		return ret;
	ret = decode_descriptor(config, object, err);
	if (ret < 0)
		return ret;
	ret = json_get_array(json, "layers", &array, err);
	return ret < 0 ? ret : decode_descriptors(layers, array, err);
}

void oci_encode_layout(struct buf *out)
{
	buf_printf(out, "{\"imageLayoutVersion\":\"%s\"}", LAYOUT_VERSION);
}

static json_t *encode_descriptor(const struct oci_descriptor *d)
{
	json_t *json = json_pack("{s:s, s:s, s:I}", "mediaType", d->media_type, "digest", d->digest,
				 "size", (json_int_t)d->size);

	if (json != NULL && d->role[0] != '\0')
		json_object_set_new(json, "annotations",
				    json_pack("{s:s, s:s*}", OCI_ROLE_KEY, d->role,
					      OCI_OPTIONAL_KEY, d->optional ? "true" : NULL));
	return json;
}

int oci_encode_index(const struct oci_descriptor *manifest, struct buf *out, struct err *err)
{
	cleanup_json json_t *json = json_pack("{s:i, s:[o]}", "schemaVersion", 2, "manifests",
					      encode_descriptor(manifest));

	return json != NULL ? json_write(json, out, err) : err_sys(err, ENOMEM, "write the index");
}

int oci_encode_manifest(const struct oci_descriptor *config, const struct oci_descriptors *layers,
			struct buf *out, struct err *err)
{
	cleanup_json json_t *json = NULL;
	json_t *array = json_array();

	for (size_t i = 0; i < layers->count; i++)
		json_array_append_new(array, encode_descriptor(&layers->item[i]));
	if (json_array_size(array) == layers->count)
		json = json_pack("{s:i, s:s, s:o, s:O}", "schemaVersion", 2, "mediaType",
				 OCI_MANIFEST_TYPE, "config", encode_descriptor(config), "layers",
				 array);
	json_decref(array);
	return json != NULL ? json_write(json, out, err)
			    : err_sys(err, ENOMEM, "write the manifest");
}
