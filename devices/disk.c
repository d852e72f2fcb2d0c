/*
 * A disk's layers; see disk.h for them and for locks.
 *
 * The layers below the scratch file have frames of 64 KiB, the scratch file has blocks of 4 KiB,
 * the guest has sectors of 512 bytes. A write of part of a block first brings the whole block up.
 */
#include "devices/disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "devices/disk_scratch.h"
#include "vmm/base/num.h"

#define SECTOR 512u

struct disk {
	char id[32];
	bool readonly;
	uint64_t size;
	struct blob raw; /* fd owned; -1 when the base is an image */
	const struct image *base;
	const struct image *overlay;
	struct scratch scratch; /* fd -1 on a read-only disk */
};

static int check_params(const struct disk_params *p, struct err *err)
{
	if (p->size == 0 || p->size % SECTOR != 0 || p->size > IMAGE_MAX_BYTES)
		return err_set(err, ERR_FAILED, "disk %s: %llu bytes is no size for a disk", p->id,
			       (unsigned long long)p->size);
	if ((p->base != NULL && p->base->map.size != p->size) ||
	    (p->overlay != NULL && p->overlay->map.size != p->size))
		return err_set(err, ERR_INTEGRITY, "disk %s: its image is not of its size", p->id);
	return 0;
}

static void init_layers(struct disk *disk, const struct disk_params *p)
{
	snprintf(disk->id, sizeof(disk->id), "%s", p->id);
	disk->readonly = p->readonly;
	disk->size = p->size;
	disk->base = p->base;
	disk->overlay = p->overlay;
	disk->raw = p->base == NULL ? p->raw : (struct blob){.fd = -1};
	disk->scratch.fd = -1;
}

int disk_open(struct disk **out, const struct disk_params *p, struct err *err)
{
	struct disk *disk = calloc(1, sizeof(*disk));
	int ret;

	if (disk == NULL) {
		if (p->base == NULL)
			close(p->raw.fd);
		return err_sys(err, ENOMEM, "disk %s", p->id);
	}
	init_layers(disk, p);
	ret = check_params(p, err);
	if (ret == 0 && !p->readonly) {
		ret = scratch_open(&disk->scratch, p->scratch_dir, p->size, err);
		if (ret < 0)
			err_context(err, ret, "disk %s", p->id);
	}
	if (ret < 0)
		disk_close(disk);
	else
		*out = disk;
	return ret;
}

void disk_close(struct disk *disk)
{
	if (disk == NULL)
		return;
	scratch_close(&disk->scratch);
	if (disk->raw.fd >= 0)
		close(disk->raw.fd);
	free(disk);
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

/* The raw file; what lies behind its end (the last sector's rest) reads as zero. */
static int read_raw(const struct disk *disk, uint64_t at, uint8_t *dst, uint64_t len)
{
	uint64_t have = at < disk->raw.len ? u64_min(len, disk->raw.len - at) : 0;

	memset(dst + have, 0, len - have);
	return have > 0 && blob_read(&disk->raw, at, dst, have, NULL) < 0 ? -EIO : 0;
}

static int read_base(const struct disk *disk, uint64_t at, uint8_t *dst, uint64_t len);

/* Bytes of a data extent, which may go on in the next part of the image. */
static int read_data(const struct image *image, const struct extent *extent, uint64_t at,
		     uint8_t *dst, uint64_t len)
{
	uint64_t in_extent = at - extent->frame * IMAGE_FRAME;

	while (len > 0) {
		uint64_t frame = in_extent / IMAGE_FRAME, run;
		struct blob blob =
			image_place(image, extent->place + frame, extent->frames - frame, &run);
		uint64_t off = in_extent % IMAGE_FRAME;
		uint64_t part = u64_min(len, run * IMAGE_FRAME - off);

		if (blob_read(&blob, off, dst, part, NULL) < 0)
			return -EIO;
		in_extent += part;
		dst += part;
		len -= part;
	}
	return 0;
}

static int read_image(const struct disk *disk, const struct image *image, uint64_t at, uint8_t *dst,
		      uint64_t len)
{
	int ret = 0;

	while (ret == 0 && len > 0) {
		const struct extent *e = image_map_find(&image->map, at / IMAGE_FRAME);
		uint64_t end = (e->frame + e->frames) * IMAGE_FRAME;
		uint64_t part = u64_min(len, end - at);

		if (e->kind == EXTENT_DATA)
			ret = read_data(image, e, at, dst, part);
		else if (e->kind == EXTENT_PARENT && image != disk->base)
			ret = read_base(disk, at, dst, part);
		else
			memset(dst, 0, part);
		at += part;
		dst += part;
		len -= part;
	}
	return ret;
}

static int read_base(const struct disk *disk, uint64_t at, uint8_t *dst, uint64_t len)
{
	if (disk->base != NULL)
		return read_image(disk, disk->base, at, dst, len);
	return read_raw(disk, at, dst, len);
}

/* What the disk was before anything was written to it. */
static int read_lower(const struct disk *disk, uint64_t at, uint8_t *dst, uint64_t len)
{
	if (disk->overlay != NULL)
		return read_image(disk, disk->overlay, at, dst, len);
	return read_base(disk, at, dst, len);
}

int disk_read(struct disk *disk, uint64_t at, void *dst, uint64_t len)
{
	uint8_t *to = dst;
	int ret = 0;

	while (ret == 0 && len > 0) {
		uint64_t block = at / SCRATCH_BLOCK;
		uint64_t most = (at + len - 1) / SCRATCH_BLOCK - block + 1;
		uint64_t run = scratch_run(&disk->scratch, block, most);
		uint64_t part = u64_min(len, (block + run) * SCRATCH_BLOCK - at);

		if (scratch_has(&disk->scratch, block))
			ret = scratch_read(&disk->scratch, at, to, part);
		else
			ret = read_lower(disk, at, to, part);
		at += part;
		to += part;
		len -= part;
	}
	return ret;
}

/* Bring a block up into the scratch file, with [off, off + len) of it replaced. */
static int write_block_part(struct disk *disk, uint64_t block, uint64_t off, const void *src,
			    uint64_t len)
{
	uint8_t whole[SCRATCH_BLOCK] = {0};
	uint64_t at = block * SCRATCH_BLOCK;
	int ret;

	if (scratch_has(&disk->scratch, block))
		return scratch_write(&disk->scratch, at + off, src, len);
	ret = read_lower(disk, at, whole, u64_min(SCRATCH_BLOCK, disk->size - at));
	if (ret < 0)
		return ret;
	memcpy(whole + off, src, len);
	return scratch_write(&disk->scratch, at, whole, SCRATCH_BLOCK);
}

int disk_write(struct disk *disk, uint64_t at, const void *src, uint64_t len)
{
	const uint8_t *from = src;
	int ret = 0;

	if (disk->readonly)
		return -EROFS;
	while (ret == 0 && len > 0) {
		uint64_t off = at % SCRATCH_BLOCK, part;

		if (off == 0 && len >= SCRATCH_BLOCK) {
			part = align_down(len, SCRATCH_BLOCK);
			ret = scratch_write(&disk->scratch, at, from, part);
		} else {
			part = u64_min(len, SCRATCH_BLOCK - off);
			ret = write_block_part(disk, at / SCRATCH_BLOCK, off, from, part);
		}
		at += part;
		from += part;
		len -= part;
	}
	return ret;
}

int disk_zero(struct disk *disk, uint64_t at, uint64_t len, bool discard)
{
	static uint8_t zeros[SCRATCH_BLOCK]; /* as in disk_scratch.c, not const */
	uint64_t end = at + len;
	uint64_t first = align_up(at, SCRATCH_BLOCK), last = align_down(end, SCRATCH_BLOCK);
	int ret = 0;

	if (disk->readonly)
		return -EROFS;
	if (first >= last) /* parts of one block, or of two */
		first = last = u64_min(first, end);
	ret = disk_write(disk, at, zeros, first - at);
	if (ret == 0)
		ret = scratch_zero(&disk->scratch, first / SCRATCH_BLOCK,
				   (last - first) / SCRATCH_BLOCK, discard);
	return ret < 0 ? ret : disk_write(disk, last, zeros, end - last);
}

int disk_flush(struct disk *disk)
{
	/* What a flush would protect, the scratch file, does not outlive this process: the page
	 * cache is as durable as it gets. Saving reads it from there. */
	(void)disk;
	return 0;
}

bool disk_pristine(const struct disk *disk)
{
	return disk->overlay == NULL && disk->scratch.used == 0;
}

/* The bytes a frame has; the last one may be short. */
static uint64_t frame_bytes(const struct disk *disk, uint64_t index)
{
	return u64_min(IMAGE_FRAME, disk->size - index * IMAGE_FRAME);
}

static int frame_data(const struct disk *disk, uint64_t index, int read_ret, uint8_t *scratch,
		      const uint8_t **data, enum extent_kind *kind, struct err *err)
{
	uint64_t have = frame_bytes(disk, index);

	if (read_ret < 0)
		return err_sys(err, -read_ret, "read disk %s at %llu KiB", disk->id,
			       (unsigned long long)(index * IMAGE_FRAME >> 10));
	memset(scratch + have, 0, IMAGE_FRAME - have);
	*data = scratch;
	*kind = EXTENT_DATA;
	return 0;
}

static int base_frame(void *opaque, uint64_t index, uint8_t *scratch, const uint8_t **data,
		      enum extent_kind *kind, struct err *err)
{
	const struct disk *disk = opaque;
	int ret = read_raw(disk, index * IMAGE_FRAME, scratch, frame_bytes(disk, index));

	return frame_data(disk, index, ret, scratch, data, kind, err);
}

bool disk_base_source(struct disk *disk, struct image_source *source, const struct image **image)
{
	*image = disk->base;
	*source = (struct image_source){.size = disk->size, .opaque = disk, .frame = base_frame};
	return disk->base == NULL;
}

/* Whether the guest wrote into any block of the frame. */
static bool frame_written(const struct disk *disk, uint64_t index)
{
	uint64_t first = index * (IMAGE_FRAME / SCRATCH_BLOCK);
	uint64_t count = align_up(frame_bytes(disk, index), SCRATCH_BLOCK) / SCRATCH_BLOCK;

	return scratch_has(&disk->scratch, first) ||
	       scratch_run(&disk->scratch, first, count) < count;
}

static int overlay_frame(void *opaque, uint64_t index, uint8_t *scratch, const uint8_t **data,
			 enum extent_kind *kind, struct err *err)
{
	struct disk *disk = opaque;

	*kind = EXTENT_PARENT;
	if (!frame_written(disk, index)) {
		if (disk->overlay != NULL)
			*kind = (enum extent_kind)image_map_find(&disk->overlay->map, index)->kind;
		if (*kind != EXTENT_DATA)
			return 0;
	}
	return frame_data(disk, index,
			  disk_read(disk, index * IMAGE_FRAME, scratch, frame_bytes(disk, index)),
			  scratch, data, kind, err);
}

void disk_overlay_source(struct disk *disk, struct image_source *source)
{
	*source = (struct image_source){.size = disk->size, .opaque = disk, .frame = overlay_frame};
}
