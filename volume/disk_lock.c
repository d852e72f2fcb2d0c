/* See disk_lock.h. */
#include "volume/disk_lock.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/num.h"

#define USES	 100
#define UNSHARES 200

enum { PERMISSION_READ, PERMISSION_WRITE, PERMISSION_RESIZE = 3, PERMISSIONS };

#define BIT(permission) (1u << (permission))

static int set_byte(int fd, int byte, short type)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

	return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

static void unlock(int fd)
{
	struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = USES};

	lock.l_len = UNSHARES + PERMISSIONS - USES;
	(void)fcntl(fd, F_OFD_SETLK, &lock);
}

/* Whether somebody else has locked the byte: 1 or 0, or -errno. */
static int byte_taken(int fd, int byte)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

	if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
		return -errno;
	return lock.l_type != F_UNLCK;
}

static int take(int fd, unsigned uses, unsigned unshares)
{
	for (int p = 0; p < PERMISSIONS; p++) {
		int ret = (uses & BIT(p)) != 0 ? set_byte(fd, USES + p, F_RDLCK) : 0;

		if (ret == 0 && (unshares & BIT(p)) != 0)
			ret = set_byte(fd, UNSHARES + p, F_RDLCK);
		if (ret < 0)
			return ret == -EACCES || ret == -EAGAIN ? -EBUSY : ret;
	}
	for (int p = 0; p < PERMISSIONS; p++) {
		int ret = (uses & BIT(p)) != 0 ? byte_taken(fd, UNSHARES + p) : 0;

		if (ret == 0 && (unshares & BIT(p)) != 0)
			ret = byte_taken(fd, USES + p);
		if (ret != 0)
			return ret > 0 ? -EBUSY : ret;
	}
	return 0;
}

int disk_lock(int fd, bool write, bool share, struct err *err)
{
	unsigned uses = BIT(PERMISSION_READ) | (write ? BIT(PERMISSION_WRITE) : 0);
	unsigned unshares = BIT(PERMISSION_WRITE) | BIT(PERMISSION_RESIZE) |
			    (share && !write ? 0 : BIT(PERMISSION_READ));
	int ret = take(fd, uses, unshares);

	if (ret == 0)
		return 0;
	unlock(fd);
	if (ret != -EBUSY)
		return err_sys(err, -ret, "lock it");
	err_set(err, ERR_FAILED, "it is in use");
	return ret;
}

int disk_lock_look(int fd, struct disk_lock_state *state, struct err *err)
{
	int read = byte_taken(fd, USES + PERMISSION_READ);
	int write = byte_taken(fd, USES + PERMISSION_WRITE);

	if (read < 0 || write < 0)
		return err_sys(err, read < 0 ? -read : -write, "look for locks");
	state->read = read > 0;
	state->written = write > 0;
	return 0;
}

/* A process has the descriptor locked: the kernel lists locks in its fdinfo (proc(5)). */
static bool descriptor_locks(const char *pid, const char *fd)
{
	char path[64], text[4096];
	cleanup_fd int info = -1;
	int64_t len;

	snprintf(path, sizeof(path), "/proc/%.16s/fdinfo/%.16s", pid, fd);
	info = open(path, O_RDONLY | O_CLOEXEC);
	if (info < 0)
		return false;
	len = io_read_upto(info, text, sizeof(text) - 1);
	text[len > 0 ? len : 0] = '\0';
	return strstr(text, "OFDLCK") != NULL;
}

static bool process_locks(const char *pid, const struct stat *file)
{
	char path[64];
	const struct dirent *entry;
	bool found = false;
	struct stat st;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%.16s/fd", pid);
	dir = opendir(path);
	if (dir == NULL)
		return false;
	while (!found && (entry = readdir(dir)) != NULL)
		found = fstatat(dirfd(dir), entry->d_name, &st, 0) == 0 &&
			st.st_dev == file->st_dev && st.st_ino == file->st_ino &&
			descriptor_locks(pid, entry->d_name);
	closedir(dir);
	return found;
}

static void read_comm(const char *pid, char comm[32])
{
	cleanup_fd int fd = -1;
	char path[64];
	int64_t len;

	snprintf(path, sizeof(path), "/proc/%.16s/comm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	len = fd >= 0 ? io_read_upto(fd, comm, 31) : 0;
	comm[len > 0 ? len : 0] = '\0';
	comm[strcspn(comm, "\n")] = '\0';
}

pid_t disk_lock_holder(const struct stat *file, char comm[32])
{
	const struct dirent *entry;
	DIR *dir = opendir("/proc");
	pid_t holder = 0, self = getpid();

	comm[0] = '\0';
	while (dir != NULL && holder == 0 && (entry = readdir(dir)) != NULL) {
		long pid = isdigit((unsigned char)entry->d_name[0])
				   ? strtol(entry->d_name, NULL, 10)
				   : 0;

		if (pid <= 0 || pid == self || !process_locks(entry->d_name, file))
			continue;
		holder = (pid_t)pid;
		read_comm(entry->d_name, comm);
	}
	if (dir != NULL)
		closedir(dir);
	return holder;
}
