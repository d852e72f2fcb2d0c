/* See volume.h. */
#include "volume/volume.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/name.h"
#include "base/num.h"
#include "base/tempfile.h"
#include "volume/disk_file.h"
#include "volume/tool.h"

#define SUFFIX	    ".raw"
#define SMALLEST    MIB(1) /* that ext4 with a journal fits into, is mke2fs's to say */
#define LABEL_BYTES 16

static int name_check(const char *name, struct err *err)
{
	if (name_is_valid(name))
		return 0;
	return err_set(
		err, ERR_USAGE,
		"'%s' is no name for a volume: letters, digits and _ . - (not first), up to 63",
		name);
}

/* What a guest mounts as it is. The inode tables are written later, by the guest. */
static int make_file_system(int fd, const char *name, struct err *err)
{
	char label[LABEL_BYTES + 1];
	const char *const argv[] = {
		"mke2fs",
		"-q",
		"-F",
		"-t",
		"ext4",
		"-L",
		label,
		"-E",
		"nodiscard,lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0",
		TOOL_FILE,
		NULL};
	const struct tool tool = {.argv = argv, .package = "e2fsprogs", .writes = fd};

	snprintf(label, sizeof(label), "%.16s", name);
	return tool_run(&tool, err);
}

int volume_create(const char *name, uint64_t size, struct path *path, struct err *err)
{
	cleanup_tempfile struct tempfile file = TEMPFILE_CLOSED;
	int ret = name_check(name, err);

	if (ret < 0)
		return ret;
	if (size == 0)
		size = VOLUME_SIZE;
	if (size < SMALLEST)
		return err_set(err, ERR_USAGE, "volume %s: %llu bytes are too small for ext4", name,
			       (unsigned long long)size);
	ret = path_volume(path, name, err);
	if (ret < 0)
		return ret;
	ret = path_make_parents(path, err);
	if (ret < 0)
		return ret;
	if (access(path->text, F_OK) == 0) {
		err_set(err, ERR_USAGE, "volume %s is there already", name);
		return -EEXIST;
	}
	ret = disk_file_begin(&file, path->text, size, err);
	if (ret == 0)
		ret = make_file_system(file.fd, name, err);
	if (ret == 0)
		ret = tempfile_publish_new(&file, err);
	return ret < 0 ? err_context(err, ret, "volume %s", name) : 0;
}

int volume_find(const char *name, struct path *path, struct err *err)
{
	int ret = name_check(name, err);

	if (ret < 0)
		return ret;
	ret = path_volume(path, name, err);
	if (ret < 0)
		return ret;
	if (access(path->text, F_OK) == 0)
		return 0;
	if (errno != ENOENT)
		return err_sys(err, errno, "%s", path->text);
	err_set(err, ERR_NOT_FOUND, "there is no volume %s: torpor volume ls lists them", name);
	return -ENOENT;
}

int volume_open(const char *name, uint64_t size, struct path *path, struct err *err)
{
	struct stat st;
	int ret = volume_find(name, path, NULL);

	if (ret < 0) {
		ret = volume_create(name, size, path, err);
		if (ret < 0 && ret != -EEXIST)
			return ret;
	}
	if (stat(path->text, &st) < 0)
		return err_sys(err, errno, "%s", path->text);
	if (size != 0 && (uint64_t)st.st_size != size)
		return err_set(err, ERR_USAGE, "volume %s is there and has %llu MiB, not %llu",
			       name, (unsigned long long)st.st_size >> 20,
			       (unsigned long long)size >> 20);
	return 0;
}

static int is_volume(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name), suffix = sizeof(SUFFIX) - 1;

	return len > suffix && strcmp(entry->d_name + len - suffix, SUFFIX) == 0;
}

int volume_each(int (*one)(void *opaque, const char *name, const struct path *path,
			   struct err *err),
		void *opaque, struct err *err)
{
	struct dirent **found;
	struct path folder;
	int ret = path_volume(&folder, NULL, err), n;

	if (ret < 0)
		return ret;
	n = scandir(folder.text, &found, is_volume, alphasort);
	if (n < 0)
		return errno == ENOENT ? 0 : err_sys(err, errno, "%s", folder.text);
	for (int i = 0; i < n; i++) {
		struct path path;
		char *name = found[i]->d_name;

		name[strlen(name) - (sizeof(SUFFIX) - 1)] = '\0';
		if (ret == 0 && name_is_valid(name)) {
			ret = path_volume(&path, name, err);
			if (ret == 0)
				ret = one(opaque, name, &path, err);
		}
		free(found[i]);
	}
	free(found);
	return ret;
}

int volume_remove(const char *name,
		  int (*may_go)(void *opaque, int fd, uint64_t size, struct err *err), void *opaque,
		  struct err *err)
{
	struct disk_file file;
	struct path path;
	int ret = volume_find(name, &path, err);

	if (ret < 0)
		return ret;
	/* As if it were to be written: nobody uses it, and nobody begins to. */
	ret = disk_file_open(&file, path.text, true, false, err);
	if (ret < 0)
		return ret;
	ret = may_go(opaque, file.fd, file.size, err);
	if (ret == 0 && unlink(path.text) < 0)
		ret = err_sys(err, errno, "%s", path.text);
	disk_file_close(&file);
	return ret;
}
