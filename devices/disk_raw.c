/* See disk_raw.h. */
#include "devices/disk_raw.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/io.h"
#include "base/num.h"

static int write_zeros(int fd, uint64_t at, uint64_t len)
{
	static uint8_t zeros[65536]; /* not const: it would take its room in the binary */

	for (uint64_t done = 0, part; done < len; done += part) {
		int ret;

		part = u64_min(len - done, sizeof(zeros));
		ret = io_pwrite(fd, zeros, part, at + done);
		if (ret < 0)
			return ret;
	}
	return 0;
}

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
	return ret < 0 && is_unable(-ret) ? write_zeros(fd, at, len) : ret;
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
