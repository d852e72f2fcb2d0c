/* See cas_arriving.h; cas_gc.c removes what nobody uses. */
#include "store/cas_arriving.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "store/cas_internal.h"

/* More processes that fetch the same image at once than anybody starts. */
#define MOST_FOLDERS 4096u

static int arriving_error(const struct cas_arriving *a, int errnum, const char *what,
			  struct err *err)
{
	return err_sys(err, errnum, "%s/%s", a->path, what);
}

/* Returns 1 when it is ours now, 0 when others have it. */
static int take_folder(struct cas_arriving *a, const struct cas *cas, const char *name,
		       struct err *err)
{
	char path[CAS_NAME + 16];

	snprintf(path, sizeof(path), CAS_ARRIVING "/%s", name);
	snprintf(a->path, sizeof(a->path), "%s/%s", cas->root, path);
	if (mkdirat(cas->folder, path, 0700) < 0 && errno != EEXIST)
		return cas_error(cas, errno, path, err);
	a->folder = openat(cas->folder, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (a->folder < 0)
		return cas_error(cas, errno, path, err);
	a->lock = openat(a->folder, CAS_ARRIVING_LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
			 0600);
	if (a->lock < 0)
		return arriving_error(a, errno, CAS_ARRIVING_LOCK, err);
	if (flock(a->lock, LOCK_EX | LOCK_NB) == 0)
		return 1;
	if (errno != EWOULDBLOCK && errno != EINTR)
		return arriving_error(a, errno, CAS_ARRIVING_LOCK, err);
	cas_arriving_close(a);
	return 0;
}

int cas_arriving_take(struct cas_arriving *a, const struct cas *cas, const char *manifest,
		      struct err *err)
{
	const char *hex = manifest != NULL ? strchr(manifest, ':') + 1 : "url";

	*a = (struct cas_arriving){.folder = -1, .lock = -1};
	for (unsigned i = 0; i < MOST_FOLDERS; i++) {
		char name[CAS_NAME];
		int ret;

		snprintf(name, sizeof(name), "%s.%u", hex, i);
		ret = take_folder(a, cas, name, err);
		if (ret > 0 && manifest == NULL) {
			ret = cas_arriving_empty(a, err);
			ret = ret < 0 ? ret : 1;
		}
		if (ret < 0)
			cas_arriving_close(a);
		if (ret != 0)
			return ret < 0 ? ret : 0;
	}
	return err_set(err, ERR_FAILED, "%s/" CAS_ARRIVING ": %u processes fetch %s", cas->root,
		       MOST_FOLDERS, hex);
}

void cas_arriving_close(struct cas_arriving *a)
{
	if (a->folder >= 0)
		close(a->folder);
	if (a->lock >= 0)
		close(a->lock);
	a->folder = a->lock = -1;
}

int cas_arriving_link(const struct cas_arriving *a, const struct cas *cas, const char *digest,
		      uint64_t size, struct err *err)
{
	const char *hex = strchr(digest, ':') + 1;
	char name[CAS_NAME];

	if (!cas_has(cas, digest, size))
		return 0;
	cas_name(name, CAS_BLOBS, digest);
	/* What had begun to arrive is not needed any more. */
	if ((unlinkat(a->folder, hex, 0) < 0 && errno != ENOENT) ||
	    linkat(cas->folder, name, a->folder, hex, 0) < 0)
		return arriving_error(a, errno, hex, err);
	return 1;
}

int cas_arriving_open(const struct cas_arriving *a, const char *digest, uint64_t size,
		      struct err *err)
{
	const char *hex = strchr(digest, ':') + 1;
	cleanup_fd int fd = -1;
	struct stat st;

	if (fstatat(a->folder, hex, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	    (uint64_t)st.st_size == size && (st.st_mode & 0200) == 0) {
		fd = openat(a->folder, hex, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		return fd < 0 ? arriving_error(a, errno, hex, err) : take_fd(&fd);
	}
	fd = openat(a->folder, hex, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || fstat(fd, &st) < 0)
		return arriving_error(a, errno, hex, err);
	if ((uint64_t)st.st_size != size &&
	    (ftruncate(fd, 0) < 0 || ftruncate(fd, (off_t)size) < 0))
		return arriving_error(a, errno, hex, err);
	return take_fd(&fd);
}

int cas_arriving_publish(const struct cas_arriving *a, const struct cas *cas, const char *digest,
			 struct err *err)
{
	const char *hex = strchr(digest, ':') + 1;
	cleanup_fd int fd = openat(a->folder, hex, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char name[CAS_NAME];
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return arriving_error(a, errno, hex, err);
	if (cas_has(cas, digest, (uint64_t)st.st_size))
		return 0;
	cas_name(name, CAS_BLOBS, digest);
	if (fsync(fd) < 0 || fchmod(fd, 0400) < 0 ||
	    renameat(a->folder, hex, cas->folder, name) < 0)
		return arriving_error(a, errno, hex, err);
	return 0;
}

int cas_arriving_empty(const struct cas_arriving *a, struct err *err)
{
	int fd = openat(a->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), ret = 0;
	const struct dirent *entry;
	DIR *dir;

	if (fd < 0)
		return arriving_error(a, errno, "", err);
	dir = fdopendir(fd);
	if (dir == NULL) {
		ret = arriving_error(a, errno, "", err);
		close(fd);
		return ret;
	}
	while (ret == 0 && (entry = readdir(dir)) != NULL) {
		const char *name = entry->d_name;

		if (name[0] != '.' && strcmp(name, CAS_ARRIVING_LOCK) != 0 &&
		    strcmp(name, CAS_ARRIVING_MAP) != 0 && unlinkat(a->folder, name, 0) < 0)
			ret = arriving_error(a, errno, name, err);
	}
	closedir(dir);
	return ret;
}
