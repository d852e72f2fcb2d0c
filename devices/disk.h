/*
 * Disks: the block back end under virtio-blk.
 *
 * A disk is a stack, read from the top: a private scratch file that takes all writes (sparse, with
 * a bitmap of 4 KiB blocks), then the overlays that files brought along, then the base: a raw file
 * or an image in an archive. Base and overlays are only ever read. A read-only disk has no scratch
 * file.
 *
 * Called with the machine lock held, except for the image sources, which the writer's threads call
 * while the machine is paused.
 */
#ifndef TORPOR_DEVICES_DISK_H
#define TORPOR_DEVICES_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/err.h"
#include "format/image/image.h"
#include "format/image/layers.h"

struct disk;

struct disk_params {
	const char *id;
	bool readonly;
	uint64_t size;			   /* bytes, a multiple of 512 */
	struct blob raw;		   /* base as a raw file; taken: the disk closes raw.fd */
	const char *path;		   /* of the raw file, for errors; copied; NULL: unknown */
	const struct image_layers *layers; /* or overlays over a base as images, which are borrowed;
				       the stack is not kept; NULL: raw */
	const char *scratch_dir;	   /* where the unlinked scratch file is made */
};

/* Returns 0, or with nothing left open: ERR_FAILED (a size that is none), ERR_INTEGRITY (an image
 * of another size), -ENOMEM, or what making the scratch file gave. params->raw.fd is closed then.
 */
int disk_open(struct disk **out, const struct disk_params *params, struct err *err);
void disk_close(struct disk *disk);

/*
 * Whether the raw base is still the file that it was when the disk was opened: a guest that goes on
 * over a base which somebody has written to sees a mixture of two disks, and a save would keep it.
 * To be called before every save and at every guest reset, with the machine lock held. Compares
 * device, inode, size, mtime and ctime of the open file with those of the opening: one fstat(2).
 * Returns 0, also for a base that is an image; -ESTALE with ERR_FAILED, which names the disk, the
 * file and what of it has changed; or what fstat(2) gave.
 */
int disk_check_base(const struct disk *disk, struct err *err);

const char *disk_id(const struct disk *disk);
uint64_t disk_size(const struct disk *disk);
bool disk_readonly(const struct disk *disk);

/* Byte offsets within the disk; the caller has checked the range. Return 0; -EIO when a lower layer
 * cannot be read, is damaged, or there is no memory to unpack it; -EROFS for a write to a read-only
 * disk; or what pread(2) and pwrite(2) on the scratch file gave. */
int disk_read(struct disk *disk, uint64_t at, void *dst, uint64_t len);
int disk_write(struct disk *disk, uint64_t at, const void *src, uint64_t len);
/* Make it read as zero; `discard` frees the scratch file's space where it can. */
int disk_zero(struct disk *disk, uint64_t at, uint64_t len, bool discard);
int disk_flush(struct disk *disk);

/* For saving. The base as an image source when it is a raw file (false when it is an image: then
 * `image` is it, to be copied as it is), whose holes are told by extents and are not read. And what
 * lies over it: EXTENT_PARENT where the base shows, zero or data elsewhere. Valid while the machine
 * is paused. */
bool disk_base_source(struct disk *disk, struct image_source *source, const struct image **image);
void disk_overlay_source(struct disk *disk, struct image_source *source);
/* For an increment: data where the guest wrote since the disk was opened, EXTENT_PARENT elsewhere.
 */
void disk_changes_source(struct disk *disk, struct image_source *source);
/* Nothing was ever written: the overlay need not be saved. */
bool disk_pristine(const struct disk *disk);

#endif
