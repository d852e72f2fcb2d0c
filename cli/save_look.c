/* See save_look.h. */
#include "cli/save_look.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "host/parent.h"
#include "host/paths.h"
#include "host/protocol.h"
#include "host/sandbox.h"
#include "host/store.h"

static int look_at_target(const char *target, json_t *found, struct err *err)
{
	char digest[DIGEST_TEXT_SIZE], dependent[NAME_MAX + 1];
	int ret;

	/* What is no appliance may be replaced. */
	if (archive_identify(target, digest, NULL) < 0)
		return 0;
	json_object_set_new(found, "replaced", json_string(digest));
	ret = store_find_dependent(digest, dependent, err);
	if (ret > 0)
		json_object_set_new(found, "dependent", json_string(dependent));
	return ret < 0 ? ret : 0;
}

/* The files of a folder, by their names in it; none of what is a file itself. */
static json_t *list_members(const struct archive *a)
{
	json_t *list = json_array();
	const struct archive_entry *entry;
	size_t count = archive_entries(a, &entry);
	char name[OCI_PATH_SIZE];
	struct stat st;

	if (stat(archive_path(a), &st) < 0 || !S_ISDIR(st.st_mode))
		return list;
	json_array_append_new(list, json_string(OCI_LAYOUT_NAME));
	json_array_append_new(list, json_string(OCI_INDEX_NAME));
	for (size_t i = 0; i < count; i++) {
		oci_blob_path(entry[i].digest, name);
		json_array_append_new(list, json_string(name));
	}
	return list;
}

static int look_at_parents(const char *parent, json_t *found, struct err *err)
{
	cleanup_chain struct chain *chain = NULL;
	json_t *paths = json_array(), *members = json_array();
	int ret = parent_open(&chain, parent, NULL, err);

	json_object_set_new(found, "parents", paths);
	json_object_set_new(found, "members", members);
	if (ret < 0)
		return ret;
	for (unsigned i = 0; i < chain->n; i++) {
		const char *path = archive_path(chain->archive[i]);

		if (json_array_append_new(paths, json_string(path)) < 0)
			return err_set(err, ERR_USAGE, "%s: the file's name is not UTF-8", path);
		if (json_array_append_new(members, list_members(chain->archive[i])) < 0)
			return err_sys(err, ENOMEM, "%s", path);
	}
	return 0;
}

static int look(const struct save_look *l, json_t *found, struct err *err)
{
	int ret = sandbox_enter(SANDBOX_READ, err);

	if (ret == 0 && l->target != NULL)
		ret = look_at_target(l->target, found, err);
	if (ret == 0 && l->parent != NULL)
		ret = look_at_parents(l->parent, found, err);
	return ret;
}

static void look_in_child(void *opaque, int fd)
{
	cleanup_json json_t *found = json_pack("{s:b}", "ok", 1);
	struct err err = {0};

	if (look(opaque, found, &err) < 0) {
		json_decref(found);
		found = protocol_error(&err);
	}
	(void)json_dumpfd(found, fd, JSON_COMPACT);
}

/* An image of the store. */
static bool is_image_place(const char *path)
{
	struct path root;
	size_t len;

	if (path_cas(&root, NULL) < 0)
		return false;
	len = strlen(root.text);
	if (strncmp(path, root.text, len) != 0 || strncmp(path + len, "/images/", 8) != 0)
		return false;
	path += len + 8;
	return strlen(path) == 64 && strspn(path, "0123456789abcdef") == 64;
}

/* Where parent_find() looks: in the folder of the child, or in the store. */
static bool is_parents_place(const char *path, const char *child)
{
	const char *slash = strrchr(path, '/'), *childs = strrchr(child, '/');

	if (is_image_place(path))
		return true;
	if (slash == NULL || childs == NULL || !parent_has_suffix(slash + 1))
		return false;
	return store_has(path) || (slash - path == childs - child &&
				   strncmp(path, child, (size_t)(slash - path)) == 0);
}

static bool is_member(const char *name)
{
	const size_t prefix = sizeof(OCI_BLOB_PREFIX) - 1;

	if (strcmp(name, OCI_LAYOUT_NAME) == 0 || strcmp(name, OCI_INDEX_NAME) == 0)
		return true;
	return strncmp(name, OCI_BLOB_PREFIX, prefix) == 0 && strlen(name + prefix) == 64 &&
	       strspn(name + prefix, "0123456789abcdef") == 64;
}

static bool are_members(const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *name = json_string_value(json_array_get(list, i));

		if (name == NULL || !is_member(name))
			return false;
	}
	return true;
}

/* A file that had taken over the child could name others than its own. */
static int check_parents(const struct save_look *l, const json_t *paths, const json_t *members,
			 struct err *err)
{
	for (size_t i = 0; i < json_array_size(paths); i++) {
		const char *path = json_string_value(json_array_get(paths, i));
		const char *child = json_string_value(json_array_get(paths, i > 0 ? i - 1 : 0));

		if (path != NULL && are_members(json_array_get(members, i)) &&
		    (i > 0 ? is_parents_place(path, child) : strcmp(path, l->parent) == 0))
			continue;
		return err_set(err, ERR_FAILED, "%s: it names a parent at another place",
			       l->parent);
	}
	return 0;
}

int save_look(const struct save_look *l, json_t **found, struct err *err)
{
	cleanup_free uint8_t *text = NULL;
	cleanup_json json_t *answer = NULL;
	struct save_look own = *l;
	size_t len;
	int ret = child_ask(look_in_child, &own, JSON_MAX_BYTES, &text, &len, err);

	*found = NULL;
	if (ret < 0)
		return ret;
	answer = json_parse(text, len, err);
	if (answer == NULL)
		return -EINVAL;
	ret = protocol_check(answer, err);
	if (ret < 0)
		return ret;
	ret = check_parents(l, json_object_get(answer, "parents"),
			    json_object_get(answer, "members"), err);
	if (ret < 0)
		return ret;
	*found = take_ptr(answer);
	return 0;
}
