/* The scratch file of a disk; see disk_scratch.h. */
#include "devices/disk_scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/num.h"
#include "base/tempfile.h"

int scratch_open(struct scratch *s, const char *dir, uint64_t size, struct err *err)
{
	int fd = tempfile_unnamed(dir, err);

	*s = (struct scratch){.fd = -1, .blocks = align_up(size, SCRATCH_BLOCK) / SCRATCH_BLOCK};
	if (fd < 0)
		return fd;
	s->fd = fd;
	s->map = calloc(s->blocks / 8 + 1, 1);
	if (s->map == NULL || ftruncate(fd, (off_t)(s->blocks * SCRATCH_BLOCK)) < 0) {
		int ret = err_sys(err, errno, "scratch file of %llu MiB in %s",
				  (unsigned long long)(size >> 20), dir);

		scratch_close(s);
		return ret;
	}
	return 0;
}

void scratch_close(struct scratch *s)
{
	if (s->fd >= 0)
		close(s->fd);
	free(s->map);
	*s = (struct scratch){.fd = -1};
}

bool scratch_has(const struct scratch *s, uint64_t block)
{
	return s->map != NULL && (s->map[block / 8] >> (block % 8) & 1) != 0;
}

uint64_t scratch_extent(const struct scratch *s, uint64_t block, uint64_t most)
{
	bool here = scratch_has(s, block);
	uint64_t n = 1;

	if (s->map == NULL)
		return most;
	while (n < most && scratch_has(s, block + n) == here) {
		n++;
		while ((block + n) % 8 == 0 && n + 8 <= most &&
		       s->map[(block + n) / 8] == (here ? 0xff : 0))
			n += 8;
	}
	return n;
}

static void mark_present(struct scratch *s, uint64_t block, uint64_t count)
{
	for (; count > 0; block++, count--) {
		if (scratch_has(s, block))
			continue;
		s->map[block / 8] = (uint8_t)(s->map[block / 8] | 1u << (block % 8));
		s->used++;
	}
}

int scratch_read(const struct scratch *s, uint64_t at, void *dst, uint64_t len)
{
	return io_pread(s->fd, dst, len, at);
}

int scratch_write(struct scratch *s, uint64_t at, const void *src, uint64_t len)
{
	uint64_t first = at / SCRATCH_BLOCK;
	int ret = io_pwrite(s->fd, src, len, at);

	if (ret < 0)
		return ret;
	if (len > 0)
		mark_present(s, first, (at + len - 1) / SCRATCH_BLOCK - first + 1);
	return 0;
}

/* For file systems that can neither punch nor zero a range. */
static int scratch_write_zeros(struct scratch *s, uint64_t at, uint64_t len)
{
	static uint8_t zeros[65536]; /* not const: it would take its room in the binary */

	for (uint64_t done = 0, part; done < len; done += part) {
		int ret;

		part = u64_min(len - done, sizeof(zeros));
		ret = io_pwrite(s->fd, zeros, part, at + done);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int scratch_zero(struct scratch *s, uint64_t block, uint64_t count, bool discard)
{
	off_t at = (off_t)(block * SCRATCH_BLOCK), len = (off_t)(count * SCRATCH_BLOCK);
	int ret = -1;

	if (count == 0)
		return 0;
	if (!discard)
		ret = fallocate(s->fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, at, len);
	if (ret < 0)
		ret = fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, len);
	if (ret < 0)
		ret = scratch_write_zeros(s, (uint64_t)at, (uint64_t)len);
	if (ret < 0)
		return ret;
	mark_present(s, block, count);
	return 0;
}

int scratch_drop(struct scratch *s)
{
	if (s->used == 0)
		return 0;
	if (ftruncate(s->fd, 0) < 0 || ftruncate(s->fd, (off_t)(s->blocks * SCRATCH_BLOCK)) < 0)
		return -errno;
	memset(s->map, 0, s->blocks / 8 + 1);
	s->used = 0;
	return 0;
}
