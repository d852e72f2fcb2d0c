/* Publishing by rename; see tempfile.h. */
#include "base/tempfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"

#define SUFFIX	   ".torpor"
#define SUFFIX_LEN (sizeof(SUFFIX) - 1)
#define RANDOM_LEN 6u
#define ATTEMPTS   100
#define MAX_NAMED  16u

static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";

/* The named ones of process `owner`: a child made by fork(2) has the list, but not the files. */
static _Atomic(const struct tempfile *) named[MAX_NAMED];
static atomic_int owner;

static void add_to_named(const struct tempfile *t)
{
	atomic_store(&owner, getpid());
	for (size_t i = 0; i < MAX_NAMED; i++) {
		const struct tempfile *none = NULL;

		if (atomic_compare_exchange_strong(&named[i], &none, t))
			return;
	}
	/* More at once: a signal leaves the rest to the next writer in their folder. */
}

static void remove_from_named(const struct tempfile *t)
{
	for (size_t i = 0; i < MAX_NAMED; i++) {
		const struct tempfile *self = t;

		if (atomic_compare_exchange_strong(&named[i], &self, NULL))
			return;
	}
}

void tempfile_unlink_all(void)
{
	if (atomic_load(&owner) != getpid())
		return;
	for (size_t i = 0; i < MAX_NAMED; i++) {
		const struct tempfile *t = atomic_load(&named[i]);

		if (t != NULL && t->name[0] != '\0')
			(void)unlinkat(t->folder, t->name, 0);
	}
}

int tempfile_error(const struct tempfile *t, int errnum, struct err *err)
{
	err_set(err, errnum == ENOENT ? ERR_NOT_FOUND : ERR_FAILED, "write %s: %s%s", t->target,
		strerror(errnum), t->replaces ? "; the old file is unchanged" : "");
	return -errnum;
}

/* `.NAME.torpor.XXXXXX`, as tempfile_open() makes them. */
static bool is_temporary(const char *name)
{
	size_t len = strlen(name), tail = SUFFIX_LEN + 1 + RANDOM_LEN;

	return name[0] == '.' && len > tail + 1 &&
	       strncmp(name + len - tail, SUFFIX ".", SUFFIX_LEN + 1) == 0 &&
	       strspn(name + len - RANDOM_LEN, letters) == RANDOM_LEN;
}

/* Who can lock it knows that its writer is gone. */
static void remove_if_stale(int folder, const char *name)
{
	cleanup_fd int fd = openat(folder, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
		unlinkat(folder, name, 0);
}

static void remove_stale(int folder)
{
	int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
	struct dirent *entry;

	if (dir == NULL) {
		if (copy >= 0)
			close(copy);
		return;
	}
	while ((entry = readdir(dir)) != NULL) {
		if (is_temporary(entry->d_name))
			remove_if_stale(folder, entry->d_name);
	}
	closedir(dir);
}

/* Split the target, through a symbolic link if it is one, and open its folder. */
static int open_target_folder(struct tempfile *t, struct err *err)
{
	char path[PATH_MAX];
	char *slash;
	struct stat st;

	t->replaces = realpath(t->target, path) != NULL;
	if (!t->replaces)
		strcpy(path, t->target);
	/* Also where the link leads to no path: /dev/stdout, when that is a pipe. */
	if (stat(t->target, &st) == 0 ? !S_ISREG(st.st_mode) : t->replaces)
		return err_set(err, ERR_FAILED, "write %s: there is something that is not a file",
			       t->target);
	slash = strrchr(path, '/');
	if (strlen(slash != NULL ? slash + 1 : path) > NAME_MAX - SUFFIX_LEN - RANDOM_LEN - 2)
		return tempfile_error(t, ENAMETOOLONG, err);
	strcpy(t->base, slash != NULL ? slash + 1 : path);
	if (t->base[0] == '\0')
		return tempfile_error(t, EISDIR, err);
	if (slash != NULL)
		slash[1] = '\0';
	t->folder = open(slash != NULL ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return t->folder >= 0 ? 0 : tempfile_error(t, errno, err);
}

static void make_name(struct tempfile *t)
{
	size_t len = strlen(t->base);
	uint8_t random[RANDOM_LEN];
	char tail[RANDOM_LEN + 1] = "";

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		memset(random, (int)getpid(), sizeof(random));
	for (size_t i = 0; i < RANDOM_LEN; i++)
		tail[i] = letters[random[i] % (sizeof(letters) - 1)];
	if (len > SUFFIX_LEN && strcmp(t->base + len - SUFFIX_LEN, SUFFIX) == 0)
		len -= SUFFIX_LEN;
	snprintf(t->name, sizeof(t->name), ".%.*s" SUFFIX ".%s", (int)len, t->base, tail);
}

/* A name for a file that has none. */
static int link_unnamed(struct tempfile *t, int fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	for (int i = 0; i < ATTEMPTS; i++) {
		make_name(t);
		if (linkat(AT_FDCWD, path, t->folder, t->name, AT_SYMLINK_FOLLOW) == 0)
			return 0;
		if (errno != EEXIST)
			break;
	}
	t->name[0] = '\0';
	return -errno;
}

/* Linking needs /proc and the sandbox's permission, and some file systems have O_TMPFILE without
 * it: a file that is thrown away shows whether it works. False: not here. */
static bool create_unnamed(struct tempfile *t)
{
	const int flags = O_TMPFILE | O_RDWR | O_CLOEXEC;
	cleanup_fd int fd = openat(t->folder, ".", flags, 0600);
	cleanup_fd int probe = fd >= 0 ? openat(t->folder, ".", flags, 0600) : -1;

	if (probe < 0 || flock(probe, LOCK_EX | LOCK_NB) < 0 || link_unnamed(t, probe) < 0)
		return false;
	(void)unlinkat(t->folder, t->name, 0);
	t->name[0] = '\0';
	if (fchmod(fd, 0600) < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return false;
	t->fd = take_fd(&fd);
	return true;
}

/* Between creating and locking another writer may have taken it for stale. Returns 0; -EAGAIN when
 * one has; or what a call gave: then it still has its name. */
static int lock_named(const struct tempfile *t)
{
	struct stat st;

	if (flock(t->fd, LOCK_EX | LOCK_NB) < 0 || fchmod(t->fd, 0600) < 0 || fstat(t->fd, &st) < 0)
		return -errno;
	return st.st_nlink == 1 ? 0 : -EAGAIN;
}

/* On error tempfile_close() removes it. */
static int create_named(struct tempfile *t, struct err *err)
{
	for (int i = 0; i < ATTEMPTS; i++) {
		int ret;

		make_name(t);
		t->fd = openat(t->folder, t->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (t->fd < 0 && errno != EEXIST)
			return tempfile_error(t, errno, err);
		if (t->fd < 0)
			continue;
		ret = lock_named(t);
		if (ret == 0) {
			add_to_named(t);
			return 0;
		}
		if (ret != -EAGAIN)
			return tempfile_error(t, -ret, err);
		close(t->fd);
		t->fd = -1;
	}
	return tempfile_error(t, EEXIST, err);
}

int tempfile_open(struct tempfile *t, const char *target, struct err *err)
{
	int ret;

	*t = (struct tempfile){.fd = -1, .folder = -1};
	if (strlen(target) >= sizeof(t->target))
		return err_sys(err, ENAMETOOLONG, "write %.100s…", target);
	strcpy(t->target, target);
	ret = open_target_folder(t, err);
	if (ret < 0)
		return ret;
	remove_stale(t->folder);
	if (create_unnamed(t))
		return 0;
	ret = create_named(t, err);
	if (ret < 0)
		tempfile_close(t);
	return ret;
}

int tempfile_adopt(struct tempfile *t, int fd, const char *target, struct err *err)
{
	struct stat st;

	*t = (struct tempfile){.fd = -1, .folder = -1};
	if (strlen(target) >= sizeof(t->target))
		return err_sys(err, ENAMETOOLONG, "write %.100s…", target);
	strcpy(t->target, target);
	t->replaces = stat(target, &st) == 0;
	if (fstat(fd, &st) < 0)
		return tempfile_error(t, errno, err);
	if (!S_ISREG(st.st_mode) || st.st_size != 0 || (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDWR)
		return err_set(err, ERR_USAGE,
			       "write %s: the descriptor is not that of an empty file to write",
			       target);
	t->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return t->fd >= 0 ? 0 : tempfile_error(t, errno, err);
}

int tempfile_write(const struct tempfile *t, const void *data, uint64_t len, uint64_t offset,
		   struct err *err)
{
	int ret = io_pwrite(t->fd, data, len, offset);

	return ret < 0 ? tempfile_error(t, -ret, err) : 0;
}

int tempfile_flush(const struct tempfile *t, struct err *err)
{
	if (sync_file_range(t->fd, 0, 0,
			    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
				    SYNC_FILE_RANGE_WAIT_AFTER) < 0)
		return tempfile_error(t, errno, err);
	return 0;
}

/* All of it is on the disk, under a temporary name. */
static int name_and_sync(struct tempfile *t, struct err *err)
{
	if (t->name[0] == '\0') {
		/* The data first. fsync(2) comes when there is a name: not every file system logs
		 * a file without one. */
		int ret = tempfile_flush(t, err);

		if (ret < 0)
			return ret;
		/* Before it has its name: a signal may come right behind the link. */
		add_to_named(t);
		ret = link_unnamed(t, t->fd);
		if (ret < 0)
			return tempfile_error(t, -ret, err);
	}
	return fsync(t->fd) < 0 ? tempfile_error(t, errno, err) : 0;
}

static int not_for_good(const struct tempfile *t, struct err *err)
{
	return err_sys(err, errno, "write %s: it is in place, but may not outlast a crash",
		       t->target);
}

int tempfile_publish(struct tempfile *t, struct stat *st, struct err *err)
{
	int ret = name_and_sync(t, err);

	if (ret < 0)
		return ret;
	if (renameat(t->folder, t->name, t->folder, t->base) < 0)
		return tempfile_error(t, errno, err);
	t->name[0] = '\0';
	return fsync(t->folder) < 0 || fstat(t->fd, st) < 0 ? not_for_good(t, err) : 0;
}

int tempfile_publish_new(struct tempfile *t, struct err *err)
{
	int ret = name_and_sync(t, err);

	if (ret < 0)
		return ret;
	/* Unlike a rename, this fails where there is something. */
	if (linkat(t->folder, t->name, t->folder, t->base, 0) < 0)
		return tempfile_error(t, errno, err);
	(void)unlinkat(t->folder, t->name, 0);
	t->name[0] = '\0';
	return fsync(t->folder) < 0 ? not_for_good(t, err) : 0;
}

void tempfile_close(struct tempfile *t)
{
	remove_from_named(t);
	if (t->fd >= 0) {
		if (t->name[0] != '\0')
			unlinkat(t->folder, t->name, 0);
		close(t->fd);
	}
	if (t->folder >= 0)
		close(t->folder);
	t->fd = t->folder = -1;
}

int tempfile_unnamed(const char *folder, struct err *err)
{
	int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char path[PATH_MAX];

	/* The file system has no O_TMPFILE: a name for a moment. */
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
		if (snprintf(path, sizeof(path), "%s/.torpor-XXXXXX", folder) >= (int)sizeof(path))
			return err_sys(err, ENAMETOOLONG, "make a temporary file in %s", folder);
		fd = mkostemp(path, O_CLOEXEC);
		if (fd >= 0)
			unlink(path);
	}
	return fd < 0 ? err_sys(err, errno, "make a temporary file in %s", folder) : fd;
}

int tempfile_unnamed_beside(const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/');
	char folder[PATH_MAX] = ".";

	if (slash != NULL && snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path) + 1,
				      path) >= (int)sizeof(folder))
		return err_sys(err, ENAMETOOLONG, "%s", path);
	return tempfile_unnamed(folder, err);
}

int tempfile_try(const char *target, struct err *err)
{
	struct tempfile file;
	int ret = tempfile_open(&file, target, err);

	tempfile_close(&file);
	return ret;
}
