/* See contents.h. */
#include "cli/contents.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/oci.h"

#define TYPE_PREFIX "application/vnd.torpor."
#define MAP_SUFFIX  ".map"

static bool ends_with(const char *text, const char *suffix)
{
	size_t len = strlen(text), tail = strlen(suffix);

	return len > tail && strcmp(text + len - tail, suffix) == 0;
}

/* Is the entry a part, map or list of image `role`? */
static bool belongs(const struct archive_entry *entry, const char *role)
{
	static const char *const kinds[] = {"map", "hashes", "hot", "hotlist"};
	size_t len = strlen(role);
	const char *kind = entry->role + len + 1;

	if (strncmp(entry->role, role, len) != 0 || entry->role[len] != '.')
		return false;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kind, kinds[i]) == 0)
			return true;
	}
	return kind[0] != '\0' && kind[strspn(kind, "0123456789")] == '\0';
}

/* "packed" of application/vnd.torpor.packed.v1; another type as it is, up to its first dot. */
static void kind_of_type(const char *type, char kind[32])
{
	if (strcmp(type, OCI_MANIFEST_TYPE) == 0 || strcmp(type, OCI_CONFIG_TYPE) == 0)
		type = "json";
	if (strncmp(type, TYPE_PREFIX, sizeof(TYPE_PREFIX) - 1) == 0)
		type += sizeof(TYPE_PREFIX) - 1;
	snprintf(kind, 32, "%.*s", (int)strcspn(type, "."), type);
}

/* What is encrypted and closed is as it is stored. */
static void describe_blob(struct content *content, const struct archive *a,
			  const struct archive_entry *entry)
{
	*content = (struct content){
		.digest = entry->digest,
		.size = entry->blob.len,
		.stored = entry->blob.len,
		.blob = entry->blob,
	};
	if (archive_blob(a, entry->role, &content->blob))
		content->size = content->blob.len;
	snprintf(content->role, sizeof(content->role), "%s", entry->role);
	kind_of_type(entry->media_type, content->encoding);
}

static void describe_image(struct content *content, const struct archive *a,
			   const struct archive_entry *map)
{
	const struct archive_entry *entry;
	size_t count = archive_entries(a, &entry);

	*content = (struct content){.digest = map->digest};
	snprintf(content->role, sizeof(content->role), "%.*s",
		 (int)(strlen(map->role) - strlen(MAP_SUFFIX)), map->role);
	content->image = archive_image(a, content->role);
	content->size = content->image->map.size;
	snprintf(content->encoding, sizeof(content->encoding), "%s",
		 content->image->encoding == IMAGE_PACKED ? "packed" : "flat");
	for (; count > 0; count--, entry++) {
		if (belongs(entry, content->role))
			content->stored += entry->blob.len;
	}
}

/* The archive has seen to it that every part has an image. */
static bool is_piece(const struct archive *a, const struct archive_entry *entry)
{
	char role[sizeof(((struct content *)0)->role)];
	const char *dot = strrchr(entry->role, '.');

	if (dot == NULL)
		return false;
	snprintf(role, sizeof(role), "%.*s", (int)(dot - entry->role), entry->role);
	return archive_image(a, role) != NULL && belongs(entry, role);
}

int contents_list(struct contents *contents, const struct archive *a, struct err *err)
{
	const struct archive_entry *entry;
	size_t count = archive_entries(a, &entry);

	*contents = (struct contents){.item = calloc(count + 1, sizeof(*contents->item))};
	if (contents->item == NULL)
		return err_sys(err, ENOMEM, "list the file");
	for (; count > 0; count--, entry++) {
		if (ends_with(entry->role, MAP_SUFFIX))
			describe_image(&contents->item[contents->count++], a, entry);
		else if (!is_piece(a, entry))
			describe_blob(&contents->item[contents->count++], a, entry);
	}
	return 0;
}

void contents_free(struct contents *contents)
{
	free(contents->item);
	*contents = (struct contents){0};
}

const struct content *contents_find(const struct contents *contents, const char *role)
{
	for (size_t i = 0; i < contents->count; i++) {
		if (strcmp(contents->item[i].role, role) == 0)
			return &contents->item[i];
	}
	return NULL;
}
