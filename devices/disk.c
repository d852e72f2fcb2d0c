/*
 * A disk's layers; see disk.h for them and for locks.
 *
 * The layers below the scratch file have frames of 64 KiB, the scratch file has blocks of 4 KiB,
 * the guest has sectors of 512 bytes. A write of part of a block copies the whole block up.
 */
#include "devices/disk.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/num.h"
#include "devices/block/worker_io.h"
#include "devices/block/workers.h"
#include "devices/disk_raw.h"
#include "devices/disk_scratch.h"
#include "format/image/frame_cache.h"
#include "format/image/frame_reader.h"

#define SECTOR 512u

struct disk {
	char id[32];
	bool readonly;
	bool through; /* to `raw` */
	bool abandoned;
	atomic_bool flush_failed; /* for good; see raw_flush() */
	uint64_t size;
	struct disk_limits limits;
	int direct_fd;		    /* of `through`; owned; -1: through the page cache */
	struct blob raw;	    /* fd owned; -1 when the base is an image */
	char *path;		    /* of it, owned; NULL: unknown */
	struct stat opened;	    /* of it, when it was opened */
	const struct image *base;   /* or NULL */
	bool overlaid;		    /* there are images over the base */
	struct layer_extents lower; /* base and overlays as one */
	struct frame_readers readers;
	struct frame_cache *cache; /* of the appliance's disks; borrowed; NULL: raw */
	pthread_rwlock_t lock;	   /* of `scratch` */
	struct scratch scratch;	   /* fd -1 on a disk that is read-only or written through */
};

/* Readers that follow one another must not keep a writer out. */
static void init_rwlock(pthread_rwlock_t *lock)
{
	pthread_rwlockattr_t attributes;

	pthread_rwlockattr_init(&attributes);
	pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(lock, &attributes);
	pthread_rwlockattr_destroy(&attributes);
}

static int init_disk(struct disk *disk, const struct disk_params *p, struct err *err)
{
	int ret;

	snprintf(disk->id, sizeof(disk->id), "%s", p->id);
	disk->readonly = p->readonly;
	disk->through = p->through;
	disk->size = p->size;
	disk->limits = p->limits;
	disk->scratch.fd = disk->scratch.upper_fd = -1;
	frame_readers_init(&disk->readers);
	init_rwlock(&disk->lock);
	disk->raw = p->layers == NULL ? p->raw : (struct blob){.fd = -1};
	disk->direct_fd = p->direct ? p->direct_fd : -1;
	if (p->size == 0 || p->size % SECTOR != 0 || p->size > IMAGE_MAX_BYTES)
		return err_set(err, ERR_FAILED, "disk %s: %llu bytes is no size for a disk", p->id,
			       (unsigned long long)p->size);
	if (p->layers == NULL) {
		if (fstat(disk->raw.fd, &disk->opened) < 0)
			return err_sys(err, errno, "disk %s", p->id);
		disk->path = p->path != NULL ? strdup(p->path) : NULL;
	} else {
		if (p->layers->image[0]->map.size != p->size)
			return err_set(err, ERR_INTEGRITY, "disk %s: its image is not of its size",
				       p->id);
		disk->base = p->layers->image[p->layers->n - 1];
		disk->cache = p->cache;
		disk->overlaid = p->layers->n > 1;
		ret = image_layers_resolve(p->layers, &disk->lower, err);
		if (ret < 0)
			return ret;
	}
	if (p->readonly || p->through)
		return 0;
	ret = scratch_open(&disk->scratch, p->scratch_dir, p->size, err);
	return ret < 0 ? err_context(err, ret, "disk %s", p->id) : 0;
}

int disk_open(struct disk **out, const struct disk_params *p, struct err *err)
{
	struct disk *disk = calloc(1, sizeof(*disk));
	int ret;

	if (disk == NULL) {
		if (p->layers == NULL)
			close(p->raw.fd);
		if (p->direct)
			close(p->direct_fd);
		return err_sys(err, ENOMEM, "disk %s", p->id);
	}
	ret = init_disk(disk, p, err);
	if (ret < 0) {
		disk_close(disk);
		return ret;
	}
	*out = disk;
	return 0;
}

void disk_close(struct disk *disk)
{
	if (disk == NULL || disk->abandoned)
		return;
	scratch_close(&disk->scratch);
	if (disk->raw.fd >= 0)
		close(disk->raw.fd);
	if (disk->direct_fd >= 0)
		close(disk->direct_fd);
	pthread_rwlock_destroy(&disk->lock);
	frame_readers_free(&disk->readers);
	layer_extents_free(&disk->lower);
	free(disk->path);
	free(disk);
}

void disk_abandon(struct disk *disk)
{
	disk->abandoned = true;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

int disk_check_base(const struct disk *disk, struct err *err)
{
	const struct stat *then = &disk->opened;
	const char *what = NULL;
	struct stat now;

	if (disk->raw.fd < 0 || disk->through)
		return 0;
	if (fstat(disk->raw.fd, &now) < 0)
		return err_sys(err, errno, "disk %s", disk->id);
	if (now.st_dev != then->st_dev || now.st_ino != then->st_ino)
		what = "is another file";
	else if (now.st_size != then->st_size)
		what = "has another size";
	else if (!same_time(&now.st_mtim, &then->st_mtim))
		what = "was written to";
	else if (!same_time(&now.st_ctim, &then->st_ctim))
		what = "was changed (its ctime)";
	if (what == NULL)
		return 0;
	err_set(err, ERR_FAILED,
		"disk %s: its base %s %s since the machine was started; what the guest sees of it "
		"is not one disk any more",
		disk->id, disk->path != NULL ? disk->path : "file", what);
	return -ESTALE;
}

uint64_t disk_scratch_bytes(const struct disk *disk)
{
	return scratch_bytes(&disk->scratch);
}

const char *disk_id(const struct disk *disk)
{
	return disk->id;
}

uint64_t disk_size(const struct disk *disk)
{
	return disk->size;
}

bool disk_readonly(const struct disk *disk)
{
	return disk->readonly;
}

bool disk_through(const struct disk *disk)
{
	return disk->through;
}

bool disk_past_cache(const struct disk *disk)
{
	return disk->direct_fd >= 0;
}

struct disk_limits disk_limits(const struct disk *disk)
{
	return disk->limits;
}

int disk_through_fd(const struct disk *disk)
{
	return disk->through ? disk->raw.fd : -1;
}

/* -EFAULT is of the guest's memory and stays what it is; all else is of the disk. */
static int disk_read_result(int ret)
{
	return ret < 0 && ret != -EFAULT ? -EIO : ret;
}

/* What is still arriving is waited for. */
static int read_blob(const struct blob *blob, uint64_t at, uint8_t *dst, uint64_t len)
{
	if (blob->arrival == NULL && range_within(at, len, blob->len))
		return disk_read_result(worker_pread(blob->fd, dst, len, blob->offset + at));
	worker_waits();
	return disk_read_result(blob_read(blob, at, dst, len, NULL));
}

/* The raw file; what lies behind its end (the last sector's rest) reads as zero. */
static int read_raw(const struct disk *disk, uint64_t at, uint8_t *dst, uint64_t len)
{
	uint64_t have = at < disk->raw.len ? u64_min(len, disk->raw.len - at) : 0;

	memset(dst + have, 0, len - have);
	return have > 0 ? read_blob(&disk->raw, at, dst, have) : 0;
}

/* Bytes of a flat run, which may go on in the next part of the image. */
static int read_flat_extent(const struct layer_extent *extent, uint64_t at, uint8_t *dst,
			    uint64_t len)
{
	uint64_t in_run = at - extent->frame * FRAME_SIZE;

	while (len > 0) {
		uint64_t frame = in_run / FRAME_SIZE, off = in_run % FRAME_SIZE, contiguous;
		struct blob blob = image_place(extent->image, extent->place + frame,
					       extent->frames - frame, &contiguous);
		uint64_t part = u64_min(len, contiguous * FRAME_SIZE - off);
		int ret = read_blob(&blob, off, dst, part);

		if (ret < 0)
			return ret;
		in_run += part;
		dst += part;
		len -= part;
	}
	return 0;
}

static int read_frame_part(struct disk *disk, const struct image *image, uint64_t place,
			   uint64_t off, uint8_t *dst, uint64_t len)
{
	if (frame_cache_copy(disk->cache, image, place, off, dst, len))
		return 0;
	worker_waits();
	return disk_read_result(frame_cache_load(disk->cache, image, place, off, dst, len, NULL));
}

/* By frames, which are unpacked or compared. */
static int read_extent_frames(struct disk *disk, const struct layer_extent *extent, uint64_t at,
			      uint8_t *dst, uint64_t len)
{
	const uint64_t first = at / FRAME_SIZE, end = (at + len - 1) / FRAME_SIZE + 1;
	uint64_t part;

	worker_may_wait();
	/* One round trip for what has not arrived of all of it. */
	image_want_frames(extent->image, extent->place + (first - extent->frame), end - first);

	for (; len > 0; at += part, dst += part, len -= part) {
		const uint64_t frame = at / FRAME_SIZE, off = at % FRAME_SIZE;
		int ret;

		part = u64_min(len, FRAME_SIZE - off);
		ret = read_frame_part(disk, extent->image, extent->place + (frame - extent->frame),
				      off, dst, part);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* What the disk was before anything was written to it. */
static int read_lower(struct disk *disk, uint64_t at, uint8_t *dst, uint64_t len)
{
	uint64_t part;

	if (disk->base == NULL)
		return read_raw(disk, at, dst, len);
	for (; len > 0; at += part, dst += part, len -= part) {
		const struct layer_extent *extent =
			layer_extents_find(&disk->lower, at / FRAME_SIZE);
		int ret = 0;

		part = u64_min(len, (extent->frame + extent->frames) * FRAME_SIZE - at);
		if (extent->image == NULL)
			memset(dst, 0, part);
		else if (extent->image->encoding == IMAGE_PACKED || extent->image->checked)
			ret = read_extent_frames(disk, extent, at, dst, part);
		else
			ret = read_flat_extent(extent, at, dst, part);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* As far as it lies in one place: *part bytes of `len`. What lies below the scratch file never changes and
 * may have to be waited for, so it is read without the lock. */
static int read_place(struct disk *disk, uint64_t at, uint8_t *to, uint64_t len, uint64_t *part)
{
	const uint64_t block = at / SCRATCH_BLOCK;
	const uint64_t most = (at + len - 1) / SCRATCH_BLOCK - block + 1;
	bool written;
	int ret = 0;

	pthread_rwlock_rdlock(&disk->lock);
	*part = u64_min(len,
			(block + scratch_extent(&disk->scratch, block, most)) * SCRATCH_BLOCK - at);
	written = scratch_has(&disk->scratch, block);
	if (written)
		ret = scratch_read(&disk->scratch, at, to, *part);
	pthread_rwlock_unlock(&disk->lock);
	return written ? ret : read_lower(disk, at, to, *part);
}

int disk_read(struct disk *disk, uint64_t at, void *dst, uint64_t len)
{
	uint8_t *to = dst;
	uint64_t part;

	if (disk->through)
		return read_raw(disk, at, to, len);
	for (; len > 0; at += part, to += part, len -= part) {
		int ret = read_place(disk, at, to, len, &part);

		if (ret < 0)
			return ret;
	}
	return 0;
}

/* Of a range that is in the scratch file whole. -EXDEV: it is not, and nothing was read; *below: none of it is. */
static int read_scratch_at_once(struct disk *disk, uint64_t at, struct iovec *iov, unsigned n,
				uint64_t len, bool *below)
{
	const uint64_t block = at / SCRATCH_BLOCK,
		       blocks = (at + len - 1) / SCRATCH_BLOCK - block + 1;
	bool whole, written;
	int ret = -EXDEV;

	pthread_rwlock_rdlock(&disk->lock);
	whole = scratch_extent(&disk->scratch, block, blocks) == blocks;
	written = scratch_has(&disk->scratch, block);
	if (whole && written)
		ret = scratch_readv(&disk->scratch, at, iov, n, len);
	pthread_rwlock_unlock(&disk->lock);
	*below = whole && !written;
	return ret;
}

/* Of a range that lies in one file. -EXDEV: it does not, and nothing was read. */
static int read_at_once(struct disk *disk, uint64_t at, struct iovec *iov, unsigned n, uint64_t len)
{
	const struct blob *raw = &disk->raw;
	bool below = true;
	int ret = -EXDEV;

	if (disk->scratch.fd >= 0)
		ret = read_scratch_at_once(disk, at, iov, n, len, &below);
	if (ret != -EXDEV || !below)
		return ret;
	if (disk->base != NULL || raw->arrival != NULL || !range_within(at, len, raw->len))
		return -EXDEV;
	return disk_read_result(worker_preadv(raw->fd, iov, n, raw->offset + at));
}

static bool is_direct(const struct iovec *iov, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if ((uintptr_t)iov[i].iov_base % SECTOR != 0 || iov[i].iov_len % SECTOR != 0)
			return false;
	}
	return true;
}

static void copy_pieces(const struct iovec *iov, unsigned n, uint8_t *buffer, bool to_pieces)
{
	for (unsigned i = 0; i < n; buffer += iov[i].iov_len, i++) {
		if (to_pieces)
			memcpy(iov[i].iov_base, buffer, iov[i].iov_len);
		else
			memcpy(buffer, iov[i].iov_base, iov[i].iov_len);
	}
}

/* By way of memory that is aligned, for pieces that are not. */
static int transfer_copied(struct disk *disk, uint64_t at, const struct iovec *iov, unsigned n,
			   bool write)
{
	const uint64_t len = iov_bytes(iov, n);
	cleanup_free uint8_t *buffer = aligned_alloc(SECTOR, align_up(len, SECTOR));
	struct iovec one = {.iov_base = buffer, .iov_len = len};
	int ret;

	if (buffer == NULL)
		return -ENOMEM;
	if (write)
		copy_pieces(iov, n, buffer, false);
	ret = write ? io_pwritev(disk->direct_fd, &one, 1, at)
		    : io_preadv(disk->direct_fd, &one, 1, at);
	if (ret == 0 && !write)
		copy_pieces(iov, n, buffer, true);
	return ret;
}

/* Past the page cache. Sectors are aligned as it needs it (volume/disk_file.h); a guest's buffers may not be. */
static int transfer_direct(struct disk *disk, uint64_t at, struct iovec *iov, unsigned n,
			   bool write)
{
	worker_waits();
	if (!is_direct(iov, n))
		return transfer_copied(disk, at, iov, n, write);
	return write ? io_pwritev(disk->direct_fd, iov, n, at)
		     : io_preadv(disk->direct_fd, iov, n, at);
}

int disk_readv(struct disk *disk, uint64_t at, struct iovec *iov, unsigned n)
{
	const uint64_t len = iov_bytes(iov, n);
	int ret = -EXDEV;

	if (disk->direct_fd >= 0 && len > 0)
		return disk_read_result(transfer_direct(disk, at, iov, n, false));
	if (len > 0 && n > 1)
		ret = read_at_once(disk, at, iov, n, len);
	if (ret != -EXDEV)
		return ret;
	ret = 0;
	for (unsigned i = 0; ret == 0 && i < n; i++) {
		ret = disk_read(disk, at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	return ret;
}

static bool is_written(struct disk *disk, uint64_t block)
{
	bool written;

	pthread_rwlock_rdlock(&disk->lock);
	written = scratch_has(&disk->scratch, block);
	pthread_rwlock_unlock(&disk->lock);
	return written;
}

/* Copy a block into the scratch file, with [off, off + len) of it replaced. It may have come there while it
 * was read from below. */
static int write_block_part(struct disk *disk, uint64_t block, uint64_t off, const void *src,
			    uint64_t len)
{
	uint8_t whole[SCRATCH_BLOCK] = {0};
	uint64_t at = block * SCRATCH_BLOCK;
	int ret;

	if (!is_written(disk, block)) {
		ret = read_lower(disk, at, whole, u64_min(SCRATCH_BLOCK, disk->size - at));
		if (ret < 0)
			return ret;
	}
	pthread_rwlock_wrlock(&disk->lock);
	if (scratch_has(&disk->scratch, block)) {
		ret = scratch_write(&disk->scratch, at + off, src, len);
	} else {
		memcpy(whole + off, src, len);
		ret = scratch_write(&disk->scratch, at, whole, SCRATCH_BLOCK);
	}
	pthread_rwlock_unlock(&disk->lock);
	return ret;
}

static int write_blocks(struct disk *disk, uint64_t at, const void *src, uint64_t len)
{
	int ret;

	pthread_rwlock_wrlock(&disk->lock);
	ret = scratch_write(&disk->scratch, at, src, len);
	pthread_rwlock_unlock(&disk->lock);
	return ret;
}

int disk_write(struct disk *disk, uint64_t at, const void *src, uint64_t len)
{
	const uint8_t *from = src;

	if (disk->readonly)
		return -EROFS;
	if (disk->through)
		return worker_pwrite(disk->raw.fd, src, len, at);
	while (len > 0) {
		uint64_t off = at % SCRATCH_BLOCK, part;
		int ret;

		if (off == 0 && len >= SCRATCH_BLOCK) {
			part = align_down(len, SCRATCH_BLOCK);
			ret = write_blocks(disk, at, from, part);
		} else {
			part = u64_min(len, SCRATCH_BLOCK - off);
			ret = write_block_part(disk, at / SCRATCH_BLOCK, off, from, part);
		}
		if (ret < 0)
			return ret;
		at += part;
		from += part;
		len -= part;
	}
	return 0;
}

static int write_blocks_at_once(struct disk *disk, uint64_t at, struct iovec *iov, unsigned n,
				uint64_t len)
{
	int ret;

	pthread_rwlock_wrlock(&disk->lock);
	ret = scratch_writev(&disk->scratch, at, iov, n, len);
	pthread_rwlock_unlock(&disk->lock);
	return ret;
}

int disk_writev(struct disk *disk, uint64_t at, struct iovec *iov, unsigned n)
{
	const uint64_t len = iov_bytes(iov, n);
	int ret = 0;

	if (disk->readonly)
		return -EROFS;
	if (disk->direct_fd >= 0 && len > 0)
		return transfer_direct(disk, at, iov, n, true);
	if (disk->through)
		return worker_pwritev(disk->raw.fd, iov, n, at);
	if (n > 1 && len > 0 && at % SCRATCH_BLOCK == 0 && len % SCRATCH_BLOCK == 0)
		return write_blocks_at_once(disk, at, iov, n, len);
	for (unsigned i = 0; ret == 0 && i < n; i++) {
		ret = disk_write(disk, at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	return ret;
}

static int zero_blocks(struct disk *disk, uint64_t block, uint64_t count, bool discard)
{
	int ret;

	worker_may_wait();
	pthread_rwlock_wrlock(&disk->lock);
	ret = scratch_zero(&disk->scratch, block, count, discard);
	pthread_rwlock_unlock(&disk->lock);
	return ret;
}

int disk_zero(struct disk *disk, uint64_t at, uint64_t len, bool discard)
{
	static uint8_t zeros[SCRATCH_BLOCK]; /* as in disk_scratch.c, not const */
	uint64_t end = at + len;
	uint64_t first = align_up(at, SCRATCH_BLOCK), last = align_down(end, SCRATCH_BLOCK);
	int ret;

	if (disk->readonly)
		return -EROFS;
	if (disk->through) {
		worker_waits();
		return raw_zero(disk->raw.fd, at, len, discard);
	}
	if (first >= last) /* parts of one block, or of two */
		first = last = u64_min(first, end);
	ret = disk_write(disk, at, zeros, first - at);
	if (ret < 0)
		return ret;
	ret = zero_blocks(disk, first / SCRATCH_BLOCK, (last - first) / SCRATCH_BLOCK, discard);
	if (ret < 0)
		return ret;
	return disk_write(disk, last, zeros, end - last);
}

int disk_flush(struct disk *disk)
{
	/* What a flush would protect, the scratch file, does not outlive this process: the page
	 * cache is as durable as it gets. Saving reads it from there. */
	if (!disk->through)
		return 0;
	worker_waits();
	return raw_flush(disk->raw.fd, &disk->flush_failed);
}

int disk_drop_changes(struct disk *disk, struct err *err)
{
	int ret;

	if (disk->through) {
		err_set(err, ERR_FAILED, "disk %s: what was written to its file stays there",
			disk->id);
		return -EOPNOTSUPP;
	}
	pthread_rwlock_wrlock(&disk->lock);
	ret = scratch_drop(&disk->scratch);
	pthread_rwlock_unlock(&disk->lock);
	return ret < 0 ? err_sys(err, -ret, "disk %s: drop what was written", disk->id) : 0;
}

int disk_prepare_freeze(struct disk *disk, const char *scratch_dir, struct err *err)
{
	int ret;

	pthread_rwlock_wrlock(&disk->lock);
	ret = scratch_prepare(&disk->scratch, scratch_dir, err);
	pthread_rwlock_unlock(&disk->lock);
	return ret < 0 ? err_context(err, ret, "disk %s", disk->id) : 0;
}

void disk_freeze(struct disk *disk)
{
	pthread_rwlock_wrlock(&disk->lock);
	scratch_freeze(&disk->scratch);
	pthread_rwlock_unlock(&disk->lock);
}

void disk_thaw(struct disk *disk)
{
	pthread_rwlock_wrlock(&disk->lock);
	scratch_thaw(&disk->scratch);
	pthread_rwlock_unlock(&disk->lock);
}

bool disk_merging(struct disk *disk)
{
	bool merging;

	pthread_rwlock_rdlock(&disk->lock);
	merging = scratch_merging(&disk->scratch);
	pthread_rwlock_unlock(&disk->lock);
	return merging;
}

int disk_merge(struct disk *disk, uint64_t bytes, struct err *err)
{
	int ret;

	pthread_rwlock_wrlock(&disk->lock);
	ret = scratch_merge(&disk->scratch, bytes);
	pthread_rwlock_unlock(&disk->lock);
	return ret < 0 ? err_sys(err, -ret,
				 "disk %s: what was written while it was saved cannot be moved "
				 "into "
				 "its first scratch file, and stays in a second one",
				 disk->id)
		       : 0;
}

void disk_count_changes(const struct disk *disk, uint32_t counts[DISK_PARTS])
{
	const uint64_t blocks = align_up(disk->size, SCRATCH_BLOCK) / SCRATCH_BLOCK;
	uint64_t block = 0;

	memset(counts, 0, DISK_PARTS * sizeof(*counts));
	if (disk->scratch.used == 0)
		return;
	while (block < blocks) {
		uint64_t n = scratch_extent(&disk->scratch, block, blocks - block);

		for (uint64_t i = block; scratch_has(&disk->scratch, block) && i < block + n; i++)
			counts[i * DISK_PARTS / blocks]++;
		block += n;
	}
}

bool disk_pristine(const struct disk *disk)
{
	return !disk->overlaid && disk->scratch.used == 0;
}

/* The bytes a frame has; the last one may be short. */
static uint64_t frame_bytes(const struct disk *disk, uint64_t index)
{
	return u64_min(FRAME_SIZE, disk->size - index * FRAME_SIZE);
}

static int finish_frame(const struct disk *disk, uint64_t index, int read_ret, uint8_t *scratch,
			const uint8_t **data, enum extent_kind *kind, struct err *err)
{
	uint64_t have = frame_bytes(disk, index);

	if (read_ret < 0)
		return err_sys(err, -read_ret, "read disk %s at %llu KiB", disk->id,
			       (unsigned long long)(index * FRAME_SIZE >> 10));
	memset(scratch + have, 0, FRAME_SIZE - have);
	*data = scratch;
	*kind = EXTENT_DATA;
	return 0;
}

static int base_frame(void *opaque, uint64_t index, uint8_t *scratch, const uint8_t **data,
		      enum extent_kind *kind, struct err *err)
{
	const struct disk *disk = opaque;
	int ret = read_raw(disk, index * FRAME_SIZE, scratch, frame_bytes(disk, index));

	return finish_frame(disk, index, ret, scratch, data, kind, err);
}

/* Holes of a sparse file are known without reading it. Where the file system, or a block device,
 * cannot tell, all is data. */
static uint64_t base_extent(void *opaque, uint64_t index, uint64_t most, enum extent_kind *kind)
{
	const struct disk *disk = opaque;
	uint64_t at = index * FRAME_SIZE, end = (index + most) * FRAME_SIZE;
	off_t data = lseek(disk->raw.fd, (off_t)at, SEEK_DATA), hole;

	if (data < 0 && errno == ENXIO) {
		/* Nothing but a hole up to the end, unless that has moved: frame() says so. */
		off_t size = lseek(disk->raw.fd, 0, SEEK_END);

		*kind = size >= 0 && (uint64_t)size < disk->raw.len ? EXTENT_DATA : EXTENT_ZERO;
		return most;
	}
	if (data >= 0 && (uint64_t)data / FRAME_SIZE > index) {
		*kind = EXTENT_ZERO;
		return u64_min(most, (uint64_t)data / FRAME_SIZE - index);
	}
	*kind = EXTENT_DATA;
	hole = data >= 0 ? lseek(disk->raw.fd, data, SEEK_HOLE) : -1;
	if (hole < 0 || (uint64_t)hole >= end)
		return most;
	return align_up((uint64_t)hole, FRAME_SIZE) / FRAME_SIZE - index;
}

bool disk_base_source(struct disk *disk, struct image_source *source, const struct image **image)
{
	*image = disk->base;
	*source = (struct image_source){
		.size = disk->size,
		.opaque = disk,
		.frame = base_frame,
		.extent = base_extent,
	};
	return disk->base == NULL;
}

/* Whether the guest wrote into any block of the frame. */
static bool frame_written(const struct disk *disk, uint64_t index)
{
	uint64_t first = index * (FRAME_SIZE / SCRATCH_BLOCK);
	uint64_t count = align_up(frame_bytes(disk, index), SCRATCH_BLOCK) / SCRATCH_BLOCK;

	return scratch_has(&disk->scratch, first) ||
	       scratch_extent(&disk->scratch, first, count) < count;
}

/* Blocks of the scratch file over what lies below. */
static int written_frame(struct disk *disk, uint64_t index, uint8_t *scratch, const uint8_t **data,
			 enum extent_kind *kind, struct err *err)
{
	int ret = disk_read(disk, index * FRAME_SIZE, scratch, frame_bytes(disk, index));

	return finish_frame(disk, index, ret, scratch, data, kind, err);
}

/* Frames in which the guest wrote no block: how many from `index` on, 0 to `most`. */
static uint64_t unwritten_frames(const struct disk *disk, uint64_t index, uint64_t most)
{
	const uint64_t blocks = FRAME_SIZE / SCRATCH_BLOCK;
	uint64_t first = index * blocks, left;

	if (disk->scratch.used == 0)
		return most;
	if (frame_written(disk, index))
		return 0;
	left = disk->scratch.blocks - first;
	left = scratch_extent(&disk->scratch, first, u64_min(left, most * blocks));
	return first + left == disk->scratch.blocks ? most : u64_min(most, left / blocks);
}

static uint64_t changed_extent(void *opaque, uint64_t index, uint64_t most, enum extent_kind *kind)
{
	uint64_t n = unwritten_frames(opaque, index, most);

	*kind = n > 0 ? EXTENT_PARENT : EXTENT_DATA;
	return n > 0 ? n : 1;
}

static uint64_t overlay_extent(void *opaque, uint64_t index, uint64_t most, enum extent_kind *kind)
{
	const struct disk *disk = opaque;
	const struct layer_extent *extent;
	uint64_t n = unwritten_frames(disk, index, most);

	*kind = n > 0 ? EXTENT_PARENT : EXTENT_DATA;
	if (n == 0 || !disk->overlaid)
		return n > 0 ? n : 1;
	extent = layer_extents_find(&disk->lower, index);
	n = u64_min(n, extent->frame + extent->frames - index);
	if (extent->image == NULL) {
		const struct extent *below = image_map_find(&disk->base->map, index);

		*kind = below->kind == EXTENT_ZERO ? EXTENT_PARENT : EXTENT_ZERO;
		return u64_min(n, below->frame + below->frames - index);
	}
	if (extent->image != disk->base)
		*kind = EXTENT_DATA;
	return n;
}

static int overlay_frame(void *opaque, uint64_t index, uint8_t *scratch, const uint8_t **data,
			 enum extent_kind *kind, struct err *err)
{
	struct disk *disk = opaque;
	const struct layer_extent *extent;

	if (frame_written(disk, index))
		return written_frame(disk, index, scratch, data, kind, err);
	*kind = EXTENT_PARENT;
	if (!disk->overlaid)
		return 0;
	extent = layer_extents_find(&disk->lower, index);
	if (extent->image == disk->base)
		return 0;
	if (extent->image != NULL) {
		/* Read once, for a save: the cache is left alone. */
		*data = scratch;
		*kind = EXTENT_DATA;
		return frame_readers_read(&disk->readers, extent->image,
					  extent->place + (index - extent->frame), scratch, err);
	}
	if (image_map_find(&disk->base->map, index)->kind != EXTENT_ZERO)
		*kind = EXTENT_ZERO;
	return 0;
}

void disk_overlay_source(struct disk *disk, struct image_source *source)
{
	*source = (struct image_source){
		.size = disk->size,
		.opaque = disk,
		.frame = overlay_frame,
		.extent = overlay_extent,
	};
}

static int changed_frame(void *opaque, uint64_t index, uint8_t *scratch, const uint8_t **data,
			 enum extent_kind *kind, struct err *err)
{
	struct disk *disk = opaque;

	*kind = EXTENT_PARENT;
	return frame_written(disk, index) ? written_frame(disk, index, scratch, data, kind, err)
					  : 0;
}

void disk_changes_source(struct disk *disk, struct image_source *source)
{
	const struct image *none;

	if (disk->through) {
		(void)disk_base_source(disk, source, &none);
		return;
	}
	*source = (struct image_source){
		.size = disk->size,
		.opaque = disk,
		.frame = changed_frame,
		.extent = changed_extent,
	};
}
