/* See disk_raw.h. */
#include "devices/disk_raw.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/io.h"

/* EINVAL: a range that the blocks of a device are too large for. */
static bool is_unable(int error)
{
	return error == EOPNOTSUPP || error == ENOSYS || error == EINVAL;
}

static int allocate(int fd, int mode, uint64_t at, uint64_t len)
{
	int ret;

	do {
		ret = fallocate(fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)len);
	} while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : 0;
}

int raw_zero(int fd, uint64_t at, uint64_t len, bool discard)
{
	int ret;

	if (len == 0)
		return 0;
	ret = allocate(fd, discard ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE, at, len);
	return ret < 0 && is_unable(-ret) ? io_pwrite_zeros(fd, len, at) : ret;
}

int raw_flush(int fd, atomic_bool *failed)
{
	int ret;

	if (atomic_load(failed))
		return -EIO;
	do {
		ret = fdatasync(fd);
	} while (ret < 0 && errno == EINTR);
	if (ret == 0)
		return 0;
	ret = -errno;
	atomic_store(failed, true);
	return ret;
}
