/*
 * The scratch file of a disk; see disk_scratch.h.
 *
 * `map` says what is here at all, whichever file has it; `upper` which blocks the second file has. Where
 * both have a block, the second one's is the newer, so a write that fails half-way to the first one
 * changes nothing as long as the block's bit in `upper` is set.
 */
#include "devices/disk_scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/num.h"
#include "base/tempfile.h"
#include "devices/block/worker_io.h"

#define MERGE_CHUNK KIB(256)

/* A file for so many blocks, and the bitmap of those in it. */
static int make_file(const char *dir, uint64_t blocks, int *fd, uint8_t **map, struct err *err)
{
	cleanup_fd int file = tempfile_unnamed(dir, err);

	if (file < 0)
		return file;
	*map = calloc(blocks / 8 + 1, 1);
	if (*map == NULL || ftruncate(file, (off_t)(blocks * SCRATCH_BLOCK)) < 0) {
		int ret = err_sys(err, errno, "scratch file of %llu MiB in %s",
				  (unsigned long long)(blocks * SCRATCH_BLOCK >> 20), dir);

		free(*map);
		*map = NULL;
		return ret;
	}
	*fd = take_fd(&file);
	return 0;
}

int scratch_open(struct scratch *s, const char *dir, uint64_t size, struct err *err)
{
	*s = (struct scratch){
		.fd = -1, .upper_fd = -1, .blocks = align_up(size, SCRATCH_BLOCK) / SCRATCH_BLOCK};
	return make_file(dir, s->blocks, &s->fd, &s->map, err);
}

static void close_upper(struct scratch *s)
{
	if (s->upper_fd >= 0)
		close(s->upper_fd);
	free(s->upper);
	s->upper_fd = -1;
	s->upper = NULL;
	s->upper_used = s->merged = 0;
	s->phase = SCRATCH_PLAIN;
}

void scratch_close(struct scratch *s)
{
	if (s->fd >= 0) {
		close(s->fd);
		close_upper(s);
	}
	free(s->map);
	*s = (struct scratch){.fd = -1, .upper_fd = -1};
}

static bool is_set(const uint8_t *map, uint64_t block)
{
	return map != NULL && (map[block / 8] >> (block % 8) & 1) != 0;
}

bool scratch_has(const struct scratch *s, uint64_t block)
{
	return is_set(s->map, block);
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

static void mark_upper(struct scratch *s, uint64_t block, uint64_t count)
{
	for (; count > 0; block++, count--) {
		if (is_set(s->upper, block))
			continue;
		s->upper[block / 8] = (uint8_t)(s->upper[block / 8] | 1u << (block % 8));
		s->upper_used++;
	}
}

static void unmark_upper(struct scratch *s, uint64_t block, uint64_t count)
{
	for (; count > 0 && s->upper_used > 0; block++, count--) {
		if (!is_set(s->upper, block))
			continue;
		s->upper[block / 8] = (uint8_t)(s->upper[block / 8] & ~(1u << (block % 8)));
		s->upper_used--;
	}
}

/* How many blocks from `block` on, at most `most`, are in the same file as that. */
static uint64_t same_file(const struct scratch *s, uint64_t block, uint64_t most)
{
	const bool upper = is_set(s->upper, block);
	uint64_t n = 1;

	if (s->upper_used == 0)
		return most;
	while (n < most && is_set(s->upper, block + n) == upper)
		n++;
	return n;
}

int scratch_read(const struct scratch *s, uint64_t at, void *dst, uint64_t len)
{
	uint8_t *to = dst;

	while (len > 0) {
		const uint64_t block = at / SCRATCH_BLOCK;
		const uint64_t n = same_file(s, block, (at + len - 1) / SCRATCH_BLOCK - block + 1);
		const uint64_t part = u64_min(len, (block + n) * SCRATCH_BLOCK - at);
		int ret = worker_pread(is_set(s->upper, block) ? s->upper_fd : s->fd, to, part, at);

		if (ret < 0)
			return ret;
		at += part;
		to += part;
		len -= part;
	}
	return 0;
}

int scratch_readv(const struct scratch *s, uint64_t at, struct iovec *iov, unsigned n, uint64_t len)
{
	const uint64_t block = at / SCRATCH_BLOCK,
		       blocks = (at + len - 1) / SCRATCH_BLOCK - block + 1;

	if (same_file(s, block, blocks) < blocks)
		return -EXDEV;
	return worker_preadv(is_set(s->upper, block) ? s->upper_fd : s->fd, iov, n, at);
}

/* The file that is written to. */
static int write_fd(const struct scratch *s)
{
	return s->phase == SCRATCH_FROZEN ? s->upper_fd : s->fd;
}

/* These blocks are now in the file that is written to, and nowhere else. */
static void mark_written(struct scratch *s, uint64_t block, uint64_t count)
{
	mark_present(s, block, count);
	if (s->phase == SCRATCH_FROZEN)
		mark_upper(s, block, count);
	else if (s->phase == SCRATCH_MERGING)
		unmark_upper(s, block, count);
}

/* A block that is here is about to be written in part: all of it comes into the file that is written
 * to. */
static int move_block(struct scratch *s, uint64_t block)
{
	const bool there = is_set(s->upper, block) == (s->phase == SCRATCH_FROZEN);
	uint8_t whole[SCRATCH_BLOCK];
	int ret;

	if (there || s->upper == NULL || !scratch_has(s, block))
		return 0;
	ret = scratch_read(s, block * SCRATCH_BLOCK, whole, sizeof(whole));
	if (ret == 0)
		ret = io_pwrite(write_fd(s), whole, sizeof(whole), block * SCRATCH_BLOCK);
	if (ret == 0)
		mark_written(s, block, 1);
	return ret;
}

int scratch_write(struct scratch *s, uint64_t at, const void *src, uint64_t len)
{
	const uint64_t first = at / SCRATCH_BLOCK, end = at + len;
	int ret = 0;

	if (len == 0)
		return 0;
	if (at % SCRATCH_BLOCK != 0 || len < SCRATCH_BLOCK)
		ret = move_block(s, first);
	if (ret == 0 && end % SCRATCH_BLOCK != 0)
		ret = move_block(s, end / SCRATCH_BLOCK);
	if (ret == 0)
		ret = worker_pwrite(write_fd(s), src, len, at);
	if (ret < 0)
		return ret;
	mark_written(s, first, (end - 1) / SCRATCH_BLOCK - first + 1);
	return 0;
}

int scratch_writev(struct scratch *s, uint64_t at, struct iovec *iov, unsigned n, uint64_t len)
{
	int ret = worker_pwritev(write_fd(s), iov, n, at);

	if (ret < 0)
		return ret;
	mark_written(s, at / SCRATCH_BLOCK, len / SCRATCH_BLOCK);
	return 0;
}

static int zero_range(int fd, uint64_t at, uint64_t len, bool discard)
{
	int ret = -1;

	if (!discard)
		ret = fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, (off_t)at,
				(off_t)len);
	if (ret < 0)
		ret = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at,
				(off_t)len);
	return ret < 0 ? io_pwrite_zeros(fd, len, at) : 0;
}

int scratch_zero(struct scratch *s, uint64_t block, uint64_t count, bool discard)
{
	int ret;

	if (count == 0)
		return 0;
	ret = zero_range(write_fd(s), block * SCRATCH_BLOCK, count * SCRATCH_BLOCK, discard);
	if (ret < 0)
		return ret;
	mark_written(s, block, count);
	return 0;
}

int scratch_drop(struct scratch *s)
{
	assert(s->phase != SCRATCH_FROZEN);
	if (s->used == 0)
		return 0;
	close_upper(s);
	if (ftruncate(s->fd, 0) < 0 || ftruncate(s->fd, (off_t)(s->blocks * SCRATCH_BLOCK)) < 0)
		return -errno;
	memset(s->map, 0, s->blocks / 8 + 1);
	s->used = 0;
	return 0;
}

static uint64_t file_bytes(int fd)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

uint64_t scratch_bytes(const struct scratch *s)
{
	return s->fd < 0 ? 0 : file_bytes(s->fd) + file_bytes(s->upper_fd);
}

int scratch_prepare(struct scratch *s, const char *dir, struct err *err)
{
	int ret;

	if (s->fd < 0 || s->phase != SCRATCH_PLAIN)
		return 0;
	ret = make_file(dir, s->blocks, &s->upper_fd, &s->upper, err);
	if (ret == 0)
		s->phase = SCRATCH_READY;
	return ret;
}

void scratch_freeze(struct scratch *s)
{
	assert(s->fd < 0 || s->phase == SCRATCH_READY);
	if (s->fd >= 0)
		s->phase = SCRATCH_FROZEN;
}

void scratch_thaw(struct scratch *s)
{
	if (s->phase == SCRATCH_READY || s->phase == SCRATCH_FROZEN)
		s->phase = SCRATCH_MERGING;
	if (s->phase == SCRATCH_MERGING && s->upper_used == 0)
		close_upper(s);
}

bool scratch_merging(const struct scratch *s)
{
	return s->phase == SCRATCH_MERGING;
}

/* Into the first file: zeros as holes, which is what a discard made of them. */
static int put_down(struct scratch *s, uint64_t block, const uint8_t *data, uint64_t count)
{
	uint64_t n;

	for (uint64_t i = 0; i < count; i += n) {
		const bool zero = is_zero(data + i * SCRATCH_BLOCK, SCRATCH_BLOCK);
		const uint64_t at = (block + i) * SCRATCH_BLOCK;
		int ret;

		n = 1;
		while (i + n < count &&
		       is_zero(data + (i + n) * SCRATCH_BLOCK, SCRATCH_BLOCK) == zero)
			n++;
		ret = zero ? zero_range(s->fd, at, n * SCRATCH_BLOCK, true)
			   : io_pwrite(s->fd, data + i * SCRATCH_BLOCK, n * SCRATCH_BLOCK, at);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* The next blocks that are in the second file: how many, at most `most`; 0: none is left. */
static uint64_t next_upper(struct scratch *s, uint64_t most)
{
	uint64_t n = 0;

	while (s->upper_used > 0 && !is_set(s->upper, s->merged)) {
		if (s->merged % 8 == 0 && s->upper[s->merged / 8] == 0)
			s->merged += 8;
		else
			s->merged++;
	}
	while (s->upper_used > 0 && n < most && s->merged + n < s->blocks &&
	       is_set(s->upper, s->merged + n))
		n++;
	return n;
}

int scratch_merge(struct scratch *s, uint64_t bytes)
{
	cleanup_free uint8_t *chunk = malloc(MERGE_CHUNK);
	uint64_t left = bytes / SCRATCH_BLOCK, n;

	if (s->phase != SCRATCH_MERGING)
		return 0;
	if (chunk == NULL)
		return -ENOMEM;
	while (left > 0 && (n = next_upper(s, u64_min(left, MERGE_CHUNK / SCRATCH_BLOCK))) > 0) {
		const uint64_t at = s->merged * SCRATCH_BLOCK;
		int ret = io_pread(s->upper_fd, chunk, n * SCRATCH_BLOCK, at);

		if (ret == 0)
			ret = put_down(s, s->merged, chunk, n);
		if (ret < 0)
			return ret;
		unmark_upper(s, s->merged, n);
		s->merged += n;
		left -= n;
	}
	if (s->upper_used == 0)
		close_upper(s);
	return 0;
}
