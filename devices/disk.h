/*
 * Disks: the block back end under virtio-blk. There are two kinds.
 *
 * A layered disk is read from the top: a private scratch file that takes all writes (sparse, with a
 * bitmap of 4 KiB blocks), then the overlays of the saved files, then the base: a raw file or an
 * image in an archive. Base and overlays are only ever read. A read-only disk has no scratch file.
 *
 * A disk that is written through (disk_through()) is a raw file or block device, and nothing else.
 *
 * Locks. disk_read(), disk_write(), the same with pieces, disk_zero() and disk_flush(): any thread, several
 * at once, without the machine lock, for they wait for the host's disk; requests that overlap are in no order
 * but the callers'. On a thread of block/workers.h they tell before they wait, and what is told may take the
 * machine lock. A disk that is written through needs no lock; a layered one has its own, for its scratch file
 * alone, which readers share.
 * disk_prepare_freeze(), disk_thaw(), disk_merging() and disk_merge() take that, too: they may wait as long as
 * a request does that is under way. disk_id(), disk_size(), disk_readonly(), disk_through() and disk_through_fd()
 * return what never changes: any thread. The image sources are called by the writer's threads, while the
 * machine is paused and no request is under way. All else: the machine lock, and no request under way.
 */
#ifndef TORPOR_DEVICES_DISK_H
#define TORPOR_DEVICES_DISK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/blob.h"
#include "base/err.h"
#include "format/image/image.h"
#include "format/image/layers.h"

struct disk;

/* What a guest may do with a disk in a second; 0: as much as it can. At most RATE_MAX (rate.h). */
struct disk_limits {
	uint64_t requests;
	uint64_t bytes;
};

struct disk_params {
	const char *id;
	bool readonly;
	bool through;			   /* changes go to `raw`, which is open for writing */
	bool direct;			   /* written through past the page cache: direct_fd is */
	int direct_fd;			   /* the same file, opened with O_DIRECT; taken over */
	uint64_t size;			   /* bytes, a multiple of 512 */
	struct blob raw;		   /* base as a raw file; the disk takes over raw.fd */
	const char *path;		   /* of the raw file, for errors; copied; NULL: unknown */
	const struct image_layers *layers; /* or overlays over a base as images, which are borrowed;
				       the struct is not kept; NULL: raw */
	struct frame_cache *cache;	   /* of `layers`; borrowed until disk_close() */
	struct disk_limits limits;	   /* for the device; nothing here looks at them */
	const char *scratch_dir;	   /* where the unlinked scratch file is made */
};

/* Returns 0; -EINVAL with ERR_FAILED for a size that no disk has, with ERR_INTEGRITY for an image
 * of another size or a lowest image that has a parent; -ENOMEM; or what fstat(2) of the raw file or
 * scratch_open() gave. On error nothing is left open: a raw base's fd is closed. */
int disk_open(struct disk **out, const struct disk_params *params, struct err *err);
/* NULL, or one that is abandoned: nothing is done. */
void disk_close(struct disk *disk);
/* At the end of the process: a thread that waits for the host uses it, and may never come back. Lock held. */
void disk_abandon(struct disk *disk);

/*
 * Whether the raw base is still the file that it was when the disk was opened: a guest over a base
 * that another process has written to sees a mixture of two disks, and a save would keep it. To be
 * called before every save and at every guest reset, with the machine lock held. Compares
 * device, inode, size, mtime and ctime of the open file with those of the opening: one fstat(2).
 * Returns 0, also for a base that is an image and for a disk that is written through; -ESTALE with
 * ERR_FAILED, which names the disk, the file and what of it has changed; or what fstat(2) gave.
 */
int disk_check_base(const struct disk *disk, struct err *err);

/* What its scratch file takes on the host's disk; 0 for one that has none. */
uint64_t disk_scratch_bytes(const struct disk *disk);
const char *disk_id(const struct disk *disk);
uint64_t disk_size(const struct disk *disk);
bool disk_readonly(const struct disk *disk);
bool disk_through(const struct disk *disk);
/* Whether the guest's reads and writes pass the page cache by. */
bool disk_past_cache(const struct disk *disk);
struct disk_limits disk_limits(const struct disk *disk);
/* Of a disk that is written through: the descriptor of its file, which stays the disk's. -1: it is another one. */
int disk_through_fd(const struct disk *disk);

/* Byte offsets within the disk; the caller has checked the range. Return 0; -EIO when a lower layer
 * cannot be read, is damaged, or there is no memory to unpack it; -EROFS for a change of a
 * read-only disk; or what pread(2) or pwrite(2) gave, of the scratch file, of the file that is
 * written through (-ENOSPC, -EIO) or of guest memory (-EFAULT). */
int disk_read(struct disk *disk, uint64_t at, void *dst, uint64_t len);
int disk_write(struct disk *disk, uint64_t at, const void *src, uint64_t len);
/* The same for memory in pieces, n at most IOV_MAX of them, which are used up: one system call where it lies in
 * one file. After an error some of it may have been read or written. */
int disk_readv(struct disk *disk, uint64_t at, struct iovec *iov, unsigned n);
int disk_writev(struct disk *disk, uint64_t at, struct iovec *iov, unsigned n);
/* Make it read as zero; `discard` frees the file's space where it can. */
int disk_zero(struct disk *disk, uint64_t at, uint64_t len, bool discard);
/* What was written before the call outlasts the host's crash: raw_flush() of a disk that is written
 * through. Of a layered one it does nothing, and cannot fail: the scratch file need not outlast
 * this process. */
int disk_flush(struct disk *disk);
/* Everything that was written since the disk was opened is gone: base and overlays show. Returns 0;
 * -EOPNOTSUPP with ERR_FAILED for a disk that is written through; or what ftruncate(2) gave: then
 * nothing may be read any more. */
int disk_drop_changes(struct disk *disk, struct err *err);

/* For a save that another process writes, which is forked while the disk is frozen, and reads what it was
 * then. Order: prepare (the machine may run), freeze, fork, and, when that process
 * has ended, thaw; then merge while disk_merging(), about `bytes` at a time. What it reads and writes
 * meanwhile is the same as ever. A disk that is merging cannot be frozen, nor one that is frozen be
 * dropped (assert). prepare and merge return 0, or what scratch_prepare() and scratch_merge() give; nothing
 * is lost then. The others cannot fail. */
int disk_prepare_freeze(struct disk *disk, const char *scratch_dir, struct err *err);
void disk_freeze(struct disk *disk);
void disk_thaw(struct disk *disk);
bool disk_merging(struct disk *disk);
int disk_merge(struct disk *disk, uint64_t bytes, struct err *err);

/* Three image sources for saving, valid while the machine is paused. Their frame() returns 0, the
 * errno of disk_read(), or what frame_readers_read() gave.
 *
 * The base. True: it is a raw file, whose holes are extents and are not read. False: it is the
 * image *image, to be copied as it is. */
bool disk_base_source(struct disk *disk, struct image_source *source, const struct image **image);
/* What lies over the base: EXTENT_PARENT where the base shows, zero or data elsewhere. */
void disk_overlay_source(struct disk *disk, struct image_source *source);
/* For an increment: data where the guest wrote since the disk was opened, EXTENT_PARENT
 * elsewhere. Nobody knows that of a disk that is written through: all of it. */
void disk_changes_source(struct disk *disk, struct image_source *source);
/* In how many parts what was written is counted. */
#define DISK_PARTS 256u
/* Blocks of 4 KiB that were written since the disk was opened or disk_drop_changes(), in each part of
 * it; 0 for a disk that is written through, of which nobody knows. Cannot fail. */
void disk_count_changes(const struct disk *disk, uint32_t counts[DISK_PARTS]);
/* Nothing was ever written: the overlay need not be saved. */
bool disk_pristine(const struct disk *disk);

#endif
