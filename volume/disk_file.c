/* See disk_file.h. */
#include "volume/disk_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "format/foreign.h"
#include "format/image/image.h"
#include "volume/disk_lock.h"

#define SECTOR 512u

static int check_size(const char *path, uint64_t size, struct err *err)
{
	if (size == 0)
		return err_set(err, ERR_FAILED, "disk %s: the file is empty", path);
	if (size % SECTOR != 0)
		return err_set(err, ERR_FAILED, "disk %s: %llu bytes are not a multiple of %u",
			       path, (unsigned long long)size, SECTOR);
	if (size > IMAGE_MAX_BYTES)
		return err_set(err, ERR_FAILED, "disk %s: larger than 64 TiB", path);
	return 0;
}

static int check_format(const char *path, int fd, struct err *err)
{
	uint8_t head[FOREIGN_HEAD];
	ssize_t len = pread(fd, head, sizeof(head), 0);
	const char *foreign = len > 0 ? foreign_format(head, (size_t)len) : NULL;

	return foreign == NULL
		       ? 0
		       : err_set(err, ERR_FAILED, "disk %s: not a raw disk, but %s", path, foreign);
}

static bool has_no_locks(int ret)
{
	return ret == -EINVAL || ret == -EOPNOTSUPP || ret == -ENOLCK || ret == -ENOSYS;
}

int disk_file_open(struct disk_file *file, const char *path, bool write, bool share,
		   struct err *err)
{
	/* A FIFO is not waited for. */
	cleanup_fd int fd =
		open(path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	off_t end;
	int ret;

	*file = (struct disk_file)DISK_FILE_NONE;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, errno, "disk %s", path);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(err, ERR_FAILED, "disk %s: not a file", path);
	/* The size of a block device is not in `st`. */
	end = lseek(fd, 0, SEEK_END);
	if (end < 0)
		return err_sys(err, errno, "disk %s", path);
	ret = check_size(path, (uint64_t)end, err);
	if (ret < 0)
		return ret;
	ret = check_format(path, fd, err);
	if (ret < 0)
		return ret;
	ret = disk_lock(fd, write, share, err);
	if (ret < 0 && (write || !has_no_locks(ret)))
		return err_context(err, ret, "disk %s", path);
	file->size = (uint64_t)end;
	file->fd = take_fd(&fd);
	return 0;
}

/* A sector at a place and in memory that are aligned to one and to nothing more. */
static int probe_direct(int fd)
{
	cleanup_free uint8_t *memory = aligned_alloc(4 * SECTOR, 4 * SECTOR);
	ssize_t got;

	if (memory == NULL)
		return -ENOMEM;
	got = pread(fd, memory + SECTOR, SECTOR, SECTOR);
	return got < 0 ? -errno : 0;
}

int disk_file_open_direct(struct disk_file *file, const char *path, struct err *err)
{
	char same[sizeof("/proc/self/fd/") + 10];
	int ret;

	snprintf(same, sizeof(same), "/proc/self/fd/%d", file->fd);
	file->direct_fd = open(same, O_RDWR | O_DIRECT | O_CLOEXEC | O_NOCTTY);
	ret = file->direct_fd < 0 ? -errno : probe_direct(file->direct_fd);
	if (ret == 0)
		return 0;
	cleanup_fd_fn(&file->direct_fd);
	file->direct_fd = -1;
	if (ret != -EINVAL)
		return err_sys(err, -ret, "disk %s: past the page cache", path);
	err_set(err, ERR_FAILED,
		"disk %s: direct: what it lies on is not read and written past the page cache "
		"(O_DIRECT) in "
		"sectors of %u bytes, as a guest does it; leave out ,direct",
		path, SECTOR);
	return -EOPNOTSUPP;
}

void disk_file_close(struct disk_file *file)
{
	cleanup_fd_fn(&file->fd);
	cleanup_fd_fn(&file->direct_fd);
	*file = (struct disk_file)DISK_FILE_NONE;
}

static int check_new_size(uint64_t size, struct err *err)
{
	if (size == 0 || size % SECTOR != 0 || size > IMAGE_MAX_BYTES)
		return err_set(
			err, ERR_USAGE,
			"%llu bytes are no size for a disk: a multiple of %u, at most 64 TiB",
			(unsigned long long)size, SECTOR);
	return 0;
}

int disk_file_begin(struct tempfile *t, const char *path, uint64_t size, struct err *err)
{
	int ret = check_new_size(size, err);

	*t = TEMPFILE_CLOSED;
	if (ret < 0)
		return ret;
	if (access(path, F_OK) == 0)
		return err_sys(err, EEXIST, "%s", path);
	ret = tempfile_open(t, path, err);
	if (ret < 0)
		return ret;
	return ftruncate(t->fd, (off_t)size) < 0 ? tempfile_error(t, errno, err) : 0;
}

int disk_file_create(const char *path, uint64_t size, struct err *err)
{
	cleanup_fd int fd = -1;
	int ret = check_new_size(size, err);

	if (ret < 0)
		return ret;
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(err, errno, "%s", path);
	if (ftruncate(fd, (off_t)size) < 0) {
		int error = errno;

		(void)unlink(path);
		return err_sys(err, error, "%s", path);
	}
	return 0;
}
