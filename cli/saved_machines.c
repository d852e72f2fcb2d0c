/* See saved_machines.h. */
#include "cli/saved_machines.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>

#include "host/parent.h"
#include "host/paths.h"

int saved_machines_each(int (*one)(void *opaque, const char *path, const struct archive *a,
				   struct err *err),
			void *opaque, struct err *err)
{
	const struct dirent *entry;
	struct path store, file;
	DIR *dir;
	int ret = path_store_root(&store, err);

	if (ret < 0)
		return ret;
	dir = opendir(store.text);
	if (dir == NULL)
		return errno == ENOENT ? 0 : err_sys(err, errno, "%s", store.text);
	while (ret == 0 && (entry = readdir(dir)) != NULL) {
		cleanup_archive struct archive *a = NULL;

		if (!parent_has_suffix(entry->d_name) ||
		    snprintf(file.text, sizeof(file.text), "%s/%s", store.text, entry->d_name) >=
			    (int)sizeof(file.text))
			continue;
		ret = archive_open(&a, file.text, err);
		if (ret == 0)
			ret = one(opaque, file.text, a, err);
	}
	closedir(dir);
	return ret;
}
