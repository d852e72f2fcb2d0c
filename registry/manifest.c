/* See manifest.h. */
#include "registry/manifest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"

/* The type that the text has, or, without parameters, that of the header. */
static void take_type(char type[OCI_TYPE_SIZE], json_t *json, const char *header)
{
	size_t len = strcspn(header, "; ");

	if (json_get_ascii(json, "mediaType", type, OCI_TYPE_SIZE, NULL) == 0)
		return;
	snprintf(type, OCI_TYPE_SIZE, "%.*s", (int)len, header);
}

static int choose(struct manifest_choice *choice, const uint8_t *text, size_t len, struct err *err)
{
	cleanup_oci_index struct oci_index index;
	const struct oci_index_entry *entry;
	int ret = oci_index_decode(&index, text, len, err);

	if (ret < 0)
		return ret;
	choice->index = true;
	ret = oci_index_choose(&index, &entry, err);
	if (ret == 0)
		choice->image = entry->image;
	return ret;
}

int manifest_look(struct manifest_choice *choice, const uint8_t *text, size_t len, const char *type,
		  struct err *err)
{
	cleanup_json json_t *json = json_parse(text, len, err);
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
	if (json_is_array(json_object_get(json, "manifests")))
		return choose(choice, text, len, err);
	return json_is_array(json_object_get(json, "layers"))
		       ? 0
		       : err_set(err, ERR_INTEGRITY, "its manifest has neither layers nor images");
}

int manifest_is_live(const uint8_t *config, size_t len, bool *live, struct err *err)
{
	cleanup_json json_t *json = json_parse(config, len, err);

	if (json == NULL)
		return err_context(err, -EINVAL, "its config");
	*live = json_object_get(json, "live") != NULL;
	return 0;
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
