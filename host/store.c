/* See store.h. */
#include "host/store.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "format/archive.h"
#include "host/parent.h"
#include "host/paths.h"

bool store_has(const char *path)
{
	const char *slash = strrchr(path, '/');
	struct path root, folder;
	struct stat store, st;
	int len = slash == NULL ? 0 : (int)(slash - path) + 1;

	if (path_store_root(&root, NULL) < 0)
		return false;
	snprintf(folder.text, sizeof(folder.text), "%.*s.", len, path);
	return stat(root.text, &store) == 0 && stat(folder.text, &st) == 0 &&
	       st.st_dev == store.st_dev && st.st_ino == store.st_ino;
}

int store_each(int (*one)(void *opaque, const char *path, struct err *err), void *opaque,
	       struct err *err)
{
	const struct dirent *entry;
	struct path root, file;
	DIR *dir;
	int ret = path_store_root(&root, err);

	if (ret < 0)
		return ret;
	dir = opendir(root.text);
	if (dir == NULL)
		return errno == ENOENT ? 0 : err_sys(err, errno, "list %s", root.text);
	while (ret == 0 && (entry = readdir(dir)) != NULL) {
		if (parent_has_suffix(entry->d_name) &&
		    (size_t)snprintf(file.text, sizeof(file.text), "%s/%s", root.text,
				     entry->d_name) < sizeof(file.text))
			ret = one(opaque, file.text, err);
	}
	closedir(dir);
	return ret;
}

struct dependent {
	const char *digest;
	char *name;
};

static int stands_on(void *opaque, const char *path, struct err *err)
{
	const struct dependent *d = opaque;
	cleanup_archive struct archive *a = NULL;

	(void)err;
	if (archive_open(&a, path, NULL) < 0 || !archive_appliance(a)->increment ||
	    strcmp(archive_appliance(a)->parent, d->digest) != 0)
		return 0;
	strcpy(d->name, strrchr(path, '/') + 1);
	return 1;
}

int store_find_dependent(const char *digest, char name[NAME_MAX + 1], struct err *err)
{
	struct dependent d = {digest, name};

	return store_each(stands_on, &d, err);
}
