/* See parent.h. */
#include "host/parent.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "host/paths.h"
#include "store/cas.h"

#define SUFFIX ".torpor"

bool parent_has_suffix(const char *name)
{
	size_t len = strlen(name);

	return len > sizeof(SUFFIX) - 1 && name[0] != '.' &&
	       strcmp(name + len - (sizeof(SUFFIX) - 1), SUFFIX) == 0;
}

/* A file of that identity in the folder; what cannot be read is not it. */
static bool find_in(const char *folder, const char *digest, char *path)
{
	DIR *dir = opendir(folder);
	const struct dirent *entry;
	bool found = false;

	while (dir != NULL && !found && (entry = readdir(dir)) != NULL) {
		char has[DIGEST_TEXT_SIZE];

		if (!parent_has_suffix(entry->d_name) ||
		    snprintf(path, PATH_MAX, "%s/%s", folder, entry->d_name) >= PATH_MAX)
			continue;
		found = archive_identify(path, has, NULL) == 0 && strcmp(has, digest) == 0;
	}
	if (dir != NULL)
		closedir(dir);
	return found;
}

static bool find_beside(const char *child, const char *digest, char *path)
{
	char folder[PATH_MAX];
	char *slash;

	if (strlen(child) >= sizeof(folder))
		return false;
	strcpy(folder, child);
	slash = strrchr(folder, '/');
	if (slash == NULL)
		return find_in(".", digest, path);
	*slash = '\0';
	return find_in(slash == folder ? "/" : folder, digest, path);
}

/* Among what came from registries. */
static bool find_image(const char *digest, char *path)
{
	cleanup_cas struct cas cas = {.folder = -1, .lock = -1};
	struct path root;

	return path_cas(&root, NULL) == 0 && cas_open(&cas, root.text, CAS_LOOK, NULL) == 0 &&
	       cas_find_identity(&cas, digest, path, NULL) == 0;
}

int parent_find(const char *digest, const char *child, char path[PATH_MAX], struct err *err)
{
	struct path store;

	if (find_beside(child, digest, path))
		return 0;
	if (path_store_root(&store, NULL) == 0 && find_in(store.text, digest, path))
		return 0;
	if (find_image(digest, path))
		return 0;
	return err_set(
		err, ERR_NOT_FOUND,
		"%s: it holds what changed since its parent %s, which is neither beside it nor "
		"in the store: put it there",
		child, digest);
}

static int find(void *opaque, const char *digest, const char *child, char *path, int *fd,
		struct err *err)
{
	(void)opaque;
	(void)fd;
	return parent_find(digest, child, path, err);
}

int parent_open(struct chain **out, const char *path, const struct archive_open_params *params,
		struct err *err)
{
	static const struct chain_finder finder = {.find = find};

	return chain_open(out, path, params, &finder, err);
}
