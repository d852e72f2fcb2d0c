/* Publishing by rename; see tempfile.h. */
#include "base/tempfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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

static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";

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
static int open_folder(struct tempfile *t, struct err *err)
{
	char path[PATH_MAX];
	char *slash;
	struct stat st;

	t->replaces = realpath(t->target, path) != NULL;
	if (!t->replaces)
		strcpy(path, t->target);
	if (t->replaces && (stat(path, &st) < 0 || !S_ISREG(st.st_mode)))
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

/* Create and lock. Between the two another writer may have taken it for stale: then again. */
static int create(struct tempfile *t, struct err *err)
{
	for (int i = 0; i < ATTEMPTS; i++) {
		struct stat st;

		make_name(t);
		t->fd = openat(t->folder, t->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (t->fd < 0 && errno != EEXIST)
			return tempfile_error(t, errno, err);
		if (t->fd < 0)
			continue;
		if (flock(t->fd, LOCK_EX | LOCK_NB) == 0 && fstat(t->fd, &st) == 0 &&
		    st.st_nlink == 1)
			return 0;
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
	ret = open_folder(t, err);
	if (ret == 0) {
		remove_stale(t->folder);
		ret = create(t, err);
	}
	if (ret < 0)
		tempfile_close(t);
	return ret;
}

int tempfile_write(const struct tempfile *t, const void *data, uint64_t len, uint64_t offset,
		   struct err *err)
{
	int ret = io_pwrite(t->fd, data, len, offset);

	return ret < 0 ? tempfile_error(t, -ret, err) : 0;
}

int tempfile_publish(struct tempfile *t, struct stat *st, struct err *err)
{
	if (fsync(t->fd) < 0 || renameat(t->folder, t->name, t->folder, t->base) < 0)
		return tempfile_error(t, errno, err);
	t->name[0] = '\0';
	if (fsync(t->folder) < 0 || fstat(t->fd, st) < 0)
		return err_sys(err, errno, "write %s: it is in place, but may not outlast a crash",
			       t->target);
	return 0;
}

void tempfile_close(struct tempfile *t)
{
	if (t->fd >= 0) {
		if (t->name[0] != '\0')
			unlinkat(t->folder, t->name, 0);
		close(t->fd);
	}
	if (t->folder >= 0)
		close(t->folder);
	t->fd = t->folder = -1;
}
