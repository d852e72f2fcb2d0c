/*
 * See ext4_image.h. The output:
 *
 *     block 0        superblock, and from block 1 on the group descriptors, up to block 16
 *     block 16 …     contents of files, in the order in which they came
 *     then           blocks of folders, extents and attributes; bitmaps; the inode table
 *
 * Bitmaps and inode table of all groups lie together, as flex_bg allows; sparse_super2 spares the
 * copies of the superblock.
 */
#include "container/ext4_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fnv.h"
#include "base/io.h"
#include "base/num.h"

#define FIRST_DATA	   EXT4_FRAME_BLOCKS
#define BIG_FILE	   KIB(512)
#define ALIGNED_ONE_IN	   64
#define SPARE_INODE_BLOCKS 4 /* free blocks for each free inode, as mkfs has them */
#define MAX_LOGICAL	   (UINT32_MAX - 1u)
#define SUPER_OFFSET	   1024u
#define SUPER_SIZE	   1024u

#define COMPAT	 (0x8u | 0x20u | 0x200u) /* ext_attr, dir_index, sparse_super2 */
#define INCOMPAT (0x2u | 0x40u | 0x200u) /* filetype, extents, flex_bg */
#define RO_COMPAT                                                                                  \
	(0x1u | 0x2u | 0x8u | 0x20u |                                                              \
	 0x40u) /* sparse_super, large_file, huge_file, dir_nlink, extra_isize */

static int no_memory(struct err *err)
{
	return err_sys(err, ENOMEM, "write a file system");
}

/* --- the output --- */

static int write_blocks(struct ext4_image *img, const uint8_t *data, uint32_t first, uint32_t count,
			struct err *err)
{
	int ret = io_pwrite(img->fd, data, (uint64_t)count * EXT4_BLOCK,
			    (uint64_t)first * EXT4_BLOCK);

	return ret < 0 ? err_sys(err, -ret, "write the file system") : 0;
}

/* Blocks of zeros are left as holes. */
static int flush(struct ext4_image *img, struct err *err)
{
	uint32_t count = img->next - img->out_first, at = 0;

	while (at < count) {
		uint32_t run = 0;

		while (at + run < count &&
		       !is_zero(img->out + (size_t)(at + run) * EXT4_BLOCK, EXT4_BLOCK))
			run++;
		if (run > 0) {
			int ret = write_blocks(img, img->out + (size_t)at * EXT4_BLOCK,
					       img->out_first + at, run, err);

			if (ret < 0)
				return ret;
		}
		at += run + 1;
	}
	img->out_first = img->next;
	return 0;
}

uint8_t *ext4_next_block(struct ext4_image *img, uint32_t *number, struct err *err)
{
	uint8_t *block;

	if (img->next - img->out_first == EXT4_OUT_BLOCKS && flush(img, err) < 0)
		return NULL;
	if (img->next >= EXT4_MAX_GROUPS * EXT4_GROUP_BLOCKS - EXT4_FRAME_BLOCKS) {
		err_set(err, ERR_INTEGRITY, "the file system has more than 64 GiB");
		return NULL;
	}
	block = img->out + (size_t)(img->next - img->out_first) * EXT4_BLOCK;
	memset(block, 0, EXT4_BLOCK);
	*number = img->next++;
	return block;
}

int ext4_image_align(struct ext4_image *img, struct err *err)
{
	uint32_t number;

	while (img->next % EXT4_FRAME_BLOCKS != 0) {
		if (ext4_next_block(img, &number, err) == NULL)
			return -EIO;
	}
	return 0;
}

void ext4_image_spare(struct ext4_image *img, uint64_t bytes)
{
	img->spare = (uint32_t)(u64_min(bytes, EXT4_MAX_SPARE) / EXT4_BLOCK);
}

/* --- contents --- */

int ext4_file_begin(struct ext4_image *img, struct tree_inode *inode, const char *path,
		    uint64_t size, struct err *err)
{
	bool align =
		size >= BIG_FILE || (size > 0 && fnv1a(path, strlen(path)) % ALIGNED_ONE_IN == 0);

	img->file = inode;
	img->block = NULL;
	return align ? ext4_image_align(img, err) : 0;
}

static int begin_block(struct ext4_image *img, uint64_t logical, struct err *err)
{
	uint32_t number;

	if (logical > MAX_LOGICAL || (img->block != NULL && logical < img->logical))
		return err_set(err, ERR_INTEGRITY, "the pieces of a file are out of order");
	if (img->next >= img->max_blocks)
		return err_set(err, ERR_INTEGRITY, "its files have more than %llu MiB",
			       (unsigned long long)(img->max_bytes >> 20));
	img->block = ext4_next_block(img, &number, err);
	if (img->block == NULL)
		return -EIO;
	img->logical = (uint32_t)logical;
	return layer_tree_extent(img->tree, img->file, img->logical, number, err);
}

int ext4_file_write(struct ext4_image *img, const void *data, uint64_t len, uint64_t offset,
		    struct err *err)
{
	const uint8_t *from = data;

	while (len > 0) {
		uint64_t logical = offset / EXT4_BLOCK, in = offset % EXT4_BLOCK;
		uint64_t part = u64_min(len, EXT4_BLOCK - in);

		if (img->block == NULL || logical != img->logical) {
			int ret = begin_block(img, logical, err);

			if (ret < 0)
				return ret;
		}
		memcpy(img->block + in, from, part);
		from += part;
		offset += part;
		len -= part;
	}
	return 0;
}

int ext4_file_end(struct ext4_image *img, uint64_t size, struct err *err)
{
	if (size > (UINT64_C(1) + MAX_LOGICAL) * EXT4_BLOCK ||
	    (img->block != NULL && size <= (uint64_t)img->logical * EXT4_BLOCK))
		return err_set(err, ERR_INTEGRITY, "a file of %llu bytes",
			       (unsigned long long)size);
	img->file->size = size;
	img->file = NULL;
	img->block = NULL;
	return 0;
}

/* --- extents --- */

#define EXTENT_MAGIC 0xf30au
#define EXTENT_SIZE  12u
#define EXTENT_MAX   32768u /* blocks of one extent */

static void put_header(uint8_t *at, uint32_t count, uint32_t size, uint32_t depth)
{
	le_put16(at, EXTENT_MAGIC);
	le_put16(at + 2, (uint16_t)count);
	le_put16(at + 4, (uint16_t)((size - EXTENT_SIZE) / EXTENT_SIZE));
	le_put16(at + 6, (uint16_t)depth);
}

/* `depth` 0: an extent; else an index of the block `physical`. */
static void put_extent(uint8_t *at, const struct tree_extent *e, uint32_t depth)
{
	le_put32(at, e->logical);
	if (depth > 0) {
		le_put32(at + 4, e->physical);
		return;
	}
	le_put16(at + 4, (uint16_t)e->count);
	le_put32(at + 8, e->physical);
}

static void put_node(uint8_t *at, uint32_t size, const struct tree_extent *e, uint32_t count,
		     uint32_t depth)
{
	put_header(at, count, size, depth);
	for (uint32_t i = 0; i < count; i++)
		put_extent(at + EXTENT_SIZE * (i + 1), &e[i], depth);
}

/* Into blocks: the list becomes that of the blocks. */
static int put_level(struct ext4_image *img, struct tree_extent *e, uint32_t *count, uint32_t depth,
		     struct err *err)
{
	const uint32_t room = (EXT4_BLOCK - EXTENT_SIZE) / EXTENT_SIZE;
	uint32_t blocks = 0;

	for (uint32_t i = 0; i < *count; i += room) {
		uint32_t n = *count - i < room ? *count - i : room, number;
		uint8_t *block = ext4_next_block(img, &number, err);

		if (block == NULL)
			return -EIO;
		put_node(block, EXT4_BLOCK, e + i, n, depth);
		e[blocks++] = (struct tree_extent){e[i].logical, number, 1};
	}
	*count = blocks;
	return 0;
}

/* Extents as long as the disk can have them. */
static uint32_t split_extents(struct tree_extent *to, const struct tree_extent *e, uint32_t count)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < count; i++) {
		for (uint32_t done = 0; done < e[i].count; done += EXTENT_MAX) {
			uint32_t left = e[i].count - done;

			if (to != NULL)
				to[n] = (struct tree_extent){e[i].logical + done,
							     e[i].physical + done,
							     left < EXTENT_MAX ? left : EXTENT_MAX};
			n++;
		}
	}
	return n;
}

int ext4_put_extents(struct ext4_image *img, const struct tree_extent *extent, uint32_t count,
		     uint8_t i_block[EXT4_I_BLOCK_SIZE], uint32_t *blocks, struct err *err)
{
	uint32_t n = split_extents(NULL, extent, count), depth = 0;
	cleanup_free struct tree_extent *list = calloc((size_t)n + 1, sizeof(*list));

	if (list == NULL)
		return no_memory(err);
	split_extents(list, extent, count);
	while (n > (EXT4_I_BLOCK_SIZE - EXTENT_SIZE) / EXTENT_SIZE) {
		int ret = put_level(img, list, &n, depth++, err);

		if (ret < 0)
			return ret;
		*blocks += n;
	}
	put_node(i_block, EXT4_I_BLOCK_SIZE, list, n, depth);
	return 0;
}

/* --- inodes --- */

/* All inodes of the tree, each once, folders before what they hold. */
static int number_inodes(struct ext4_image *img, struct tree_inode *folder, struct err *err)
{
	cleanup_free struct tree_entry **list = NULL;
	int ret = layer_tree_list(folder, &list, err);

	for (size_t i = 0; ret == 0 && list[i] != NULL; i++) {
		struct tree_inode *inode = list[i]->inode;

		if (inode->number == 0) {
			inode->number = img->count - 1 + EXT4_FIRST_INODE;
			if (img->order != NULL)
				img->order[img->count] = inode;
			img->count++;
		}
	}
	for (size_t i = 0; ret == 0 && list[i] != NULL; i++) {
		if (S_ISDIR(list[i]->inode->mode))
			ret = number_inodes(img, list[i]->inode, err);
	}
	return ret;
}

static uint32_t count_entries(const struct tree_inode *folder, struct err *err)
{
	cleanup_free struct tree_entry **list = NULL;
	uint32_t count = 0;

	if (layer_tree_list(folder, &list, err) < 0)
		return 0;
	for (size_t i = 0; list[i] != NULL; i++)
		count += 1 +
			 (S_ISDIR(list[i]->inode->mode) ? count_entries(list[i]->inode, err) : 0);
	return count;
}

static int order_inodes(struct ext4_image *img, struct err *err)
{
	struct tree_inode *root = layer_tree_root(img->tree)->inode;
	size_t most = (size_t)count_entries(root, err) + 1;

	img->order = calloc(most, sizeof(img->order[0]));
	img->table = calloc(most, EXT4_INODE);
	if (img->order == NULL || img->table == NULL)
		return no_memory(err);
	root->number = EXT4_ROOT;
	img->order[img->count++] = root;
	return number_inodes(img, root, err);
}

static void put_time(uint8_t *raw, uint32_t at, uint32_t extra_at, const struct tree_inode *inode)
{
	/* 34 bits from 1901 on. */
	int64_t t = inode->mtime < INT32_MIN ? INT32_MIN : inode->mtime;
	uint32_t epoch;

	t = t > INT64_C(0x37fffffff) ? INT64_C(0x37fffffff) : t;
	epoch = (uint32_t)((t - (int32_t)t) >> 32) & 3;
	le_put32(raw + at, (uint32_t)t);
	le_put32(raw + extra_at, epoch | inode->nsec << 2);
}

static void put_common(uint8_t *raw, const struct tree_inode *inode)
{
	le_put16(raw, (uint16_t)inode->mode);
	le_put16(raw + 2, (uint16_t)inode->uid);
	le_put16(raw + 120, (uint16_t)(inode->uid >> 16));
	le_put16(raw + 24, (uint16_t)inode->gid);
	le_put16(raw + 122, (uint16_t)(inode->gid >> 16));
	le_put16(raw + 26, (uint16_t)inode->links);
	le_put16(raw + 128, EXT4_EXTRA_ISIZE);
	put_time(raw, 8, 140, inode);
	put_time(raw, 12, 132, inode);
	put_time(raw, 16, 136, inode);
	put_time(raw, 144, 148, inode);
}

static void put_size(uint8_t *raw, uint64_t size, uint64_t blocks)
{
	uint64_t sectors = blocks * (EXT4_BLOCK / 512);

	le_put32(raw + 4, (uint32_t)size);
	le_put32(raw + 108, (uint32_t)(size >> 32));
	le_put32(raw + 28, (uint32_t)sectors);
	le_put16(raw + 116, (uint16_t)(sectors >> 32));
}

static void put_device(uint8_t *raw, const struct tree_inode *inode)
{
	uint32_t major = inode->major, minor = inode->minor;

	if (major < 256 && minor < 256)
		le_put32(raw + EXT4_I_BLOCK, major << 8 | minor);
	else
		le_put32(raw + EXT4_I_BLOCK + 4,
			 (minor & 0xff) | major << 8 | (minor & ~0xffu) << 12);
}

static int put_link(struct ext4_image *img, uint8_t *raw, const struct tree_inode *inode,
		    uint64_t *blocks, struct err *err)
{
	struct tree_extent where = {0, 0, 1};
	uint32_t more = 0;
	uint8_t *block;

	if (inode->size < EXT4_I_BLOCK_SIZE) {
		memcpy(raw + EXT4_I_BLOCK, inode->target, inode->size);
		return 0;
	}
	if (inode->size >= EXT4_BLOCK)
		return err_set(err, ERR_INTEGRITY, "a symbolic link of %llu bytes",
			       (unsigned long long)inode->size);
	block = ext4_next_block(img, &where.physical, err);
	if (block == NULL)
		return -EIO;
	memcpy(block, inode->target, inode->size);
	le_put32(raw + 32, EXT4_FLAG_EXTENTS);
	*blocks = 1;
	return ext4_put_extents(img, &where, 1, raw + EXT4_I_BLOCK, &more, err);
}

static int put_file(struct ext4_image *img, uint8_t *raw, const struct tree_inode *inode,
		    uint64_t *blocks, struct err *err)
{
	uint32_t more = 0;
	int ret;

	le_put32(raw + 32, EXT4_FLAG_EXTENTS);
	ret = ext4_put_extents(img, inode->extent, inode->extents, raw + EXT4_I_BLOCK, &more, err);
	*blocks = more;
	for (uint32_t i = 0; i < inode->extents; i++)
		*blocks += inode->extent[i].count;
	return ret;
}

static int put_folder(struct ext4_image *img, uint8_t *raw, const struct tree_inode *inode,
		      uint64_t *size, uint64_t *blocks, struct err *err)
{
	struct ext4_folder folder;
	struct tree_extent where;
	uint32_t more = 0;
	int ret = ext4_put_folder(img, inode, &folder, err);

	if (ret < 0)
		return ret;
	where = (struct tree_extent){0, folder.first, folder.blocks};
	ret = ext4_put_extents(img, &where, 1, raw + EXT4_I_BLOCK, &more, err);
	le_put32(raw + 32, EXT4_FLAG_EXTENTS | (folder.indexed ? EXT4_FLAG_INDEX : 0));
	/* dir_nlink: 1 stands for too many. */
	le_put16(raw + 26,
		 folder.folders + 2 > TREE_MAX_LINKS ? 1 : (uint16_t)(folder.folders + 2));
	*size = (uint64_t)folder.blocks * EXT4_BLOCK;
	*blocks = folder.blocks + more;
	return ret;
}

static int put_inode(struct ext4_image *img, uint8_t *raw, const struct tree_inode *inode,
		     struct err *err)
{
	uint64_t size = S_ISREG(inode->mode) || S_ISLNK(inode->mode) ? inode->size : 0, blocks = 0;
	uint32_t xattrs = 0;
	int ret;

	put_common(raw, inode);
	if (S_ISREG(inode->mode))
		ret = put_file(img, raw, inode, &blocks, err);
	else if (S_ISDIR(inode->mode))
		ret = put_folder(img, raw, inode, &size, &blocks, err);
	else if (S_ISLNK(inode->mode))
		ret = put_link(img, raw, inode, &blocks, err);
	else
		ret = 0;
	if (ret < 0)
		return ret;
	if (S_ISCHR(inode->mode) || S_ISBLK(inode->mode))
		put_device(raw, inode);
	ret = ext4_put_xattrs(img, inode, raw + EXT4_INODE - EXT4_XATTR_IN_INODE, &xattrs, err);
	if (ret < 0)
		return ret;
	le_put32(raw + 104, xattrs);
	put_size(raw, size, blocks + (xattrs != 0));
	return 0;
}

/* --- the whole --- */

struct layout {
	uint32_t groups, per_group; /* inodes of a group */
	uint32_t bitmaps;	    /* first block of them: of blocks, then of inodes, each group */
	uint32_t table;		    /* first block of the inode table */
	uint32_t end;		    /* first block behind it */
	uint32_t total;		    /* blocks */
	uint32_t metadata;	    /* first block that is not contents */
	uint32_t descriptors;	    /* blocks of them */
	uint32_t free_blocks, free_inodes;
};

static uint32_t inodes_used(const struct ext4_image *img)
{
	return img->count - 1 + EXT4_FIRST_INODE - 1;
}

/* More groups need more bitmaps, which may need one group more. */
static void lay_out(const struct ext4_image *img, struct layout *l)
{
	uint32_t need = inodes_used(img) + img->spare / SPARE_INODE_BLOCKS, groups = 0;

	do {
		uint32_t each;

		l->groups = ++groups;
		each = (need + groups - 1) / groups;
		l->per_group = (uint32_t)align_up(each, EXT4_BLOCK_INODES);
		l->bitmaps = img->next;
		l->table = l->bitmaps + 2 * groups;
		l->end = l->table + groups * (l->per_group / EXT4_BLOCK_INODES);
		l->total = (uint32_t)align_up(l->end + img->spare, EXT4_FRAME_BLOCKS);
		/* Many small files need more groups than their blocks do. */
		if (l->total <= (groups - 1) * EXT4_GROUP_BLOCKS)
			l->total = (groups - 1) * EXT4_GROUP_BLOCKS + EXT4_FRAME_BLOCKS;
	} while (l->per_group > 8 * EXT4_BLOCK || l->total > (uint64_t)groups * EXT4_GROUP_BLOCKS);
	l->descriptors = (groups * EXT4_GROUP_DESC + EXT4_BLOCK - 1) / EXT4_BLOCK;
}

static void set_bits(uint8_t *map, uint64_t from, uint64_t count)
{
	for (; count > 0 && from % 8 != 0; from++, count--)
		map[from / 8] |= (uint8_t)(1u << from % 8);
	memset(map + from / 8, 0xff, count / 8);
	from += count / 8 * 8;
	for (count %= 8; count > 0; from++, count--)
		map[from / 8] |= (uint8_t)(1u << from % 8);
}

static bool bit(const uint8_t *map, uint64_t at)
{
	return (map[at / 8] >> at % 8 & 1) != 0;
}

static uint32_t count_free(const uint8_t *map, uint64_t from, uint64_t count)
{
	uint32_t used = 0;

	for (uint64_t i = from / 8; i < (from + count) / 8; i++)
		used += (uint32_t)__builtin_popcount(map[i]);
	return (uint32_t)count - used;
}

/* Contents that no file has any more become holes, so that the bytes tell nothing of them. */
static int punch(struct ext4_image *img, uint64_t first, uint64_t count, struct err *err)
{
	static const uint8_t zeros[EXT4_BLOCK];

	if (fallocate(img->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      (off_t)(first * EXT4_BLOCK), (off_t)(count * EXT4_BLOCK)) == 0)
		return 0;
	if (errno != EOPNOTSUPP)
		return err_sys(err, errno, "write the file system");
	for (uint64_t i = 0; i < count; i++) {
		int ret = write_blocks(img, zeros, (uint32_t)(first + i), 1, err);

		if (ret < 0)
			return ret;
	}
	return 0;
}

static int punch_unused(struct ext4_image *img, const uint8_t *map, uint32_t end, struct err *err)
{
	uint32_t at = FIRST_DATA;

	while (at < end) {
		uint32_t run = 0;
		int ret;

		while (at + run < end && !bit(map, at + run))
			run++;
		ret = run > 0 ? punch(img, at, run, err) : 0;
		if (ret < 0)
			return ret;
		at += run + 1;
	}
	return 0;
}

/* A bit for each block; bits behind the last one are set. */
static void mark_blocks(const struct ext4_image *img, const struct layout *l, uint8_t *map)
{
	set_bits(map, 0, 1 + l->descriptors);
	for (uint32_t i = 0; i < img->count; i++) {
		for (uint32_t k = 0; k < img->order[i]->extents; k++)
			set_bits(map, img->order[i]->extent[k].physical,
				 img->order[i]->extent[k].count);
	}
	set_bits(map, l->metadata, l->end - l->metadata);
	set_bits(map, l->total, (uint64_t)l->groups * EXT4_GROUP_BLOCKS - l->total);
}

static uint32_t number_at(const struct ext4_image *img, uint32_t i)
{
	return img->order[i]->number;
}

static uint32_t count_folders(const struct ext4_image *img, uint32_t first, uint32_t last)
{
	uint32_t count = 0, i = first > EXT4_FIRST_INODE ? first - EXT4_FIRST_INODE + 1 : 0;

	for (; i < img->count && number_at(img, i) <= last; i++)
		count += S_ISDIR(img->order[i]->mode);
	return count;
}

static int put_bitmaps(struct ext4_image *img, struct layout *l, const uint8_t *map,
		       uint8_t *descriptors, struct err *err)
{
	uint32_t used = inodes_used(img), number;

	for (uint32_t g = 0; g < l->groups; g++) {
		uint8_t *d = descriptors + (size_t)g * EXT4_GROUP_DESC;
		uint32_t first = g * l->per_group;
		uint32_t here = used > first ? used - first : 0;
		uint32_t blocks =
			count_free(map, (uint64_t)g * EXT4_GROUP_BLOCKS, EXT4_GROUP_BLOCKS);
		uint8_t *block = ext4_next_block(img, &number, err);

		if (block == NULL)
			return -EIO;
		memcpy(block, map + (size_t)g * EXT4_BLOCK, EXT4_BLOCK);
		le_put32(d, number);
		block = ext4_next_block(img, &number, err);
		if (block == NULL)
			return -EIO;
		here = here < l->per_group ? here : l->per_group;
		set_bits(block, 0, here);
		set_bits(block, l->per_group, 8 * EXT4_BLOCK - l->per_group);
		le_put32(d + 4, number);
		le_put32(d + 8, l->table + g * (l->per_group / EXT4_BLOCK_INODES));
		le_put16(d + 12, (uint16_t)blocks);
		le_put16(d + 14, (uint16_t)(l->per_group - here));
		le_put16(d + 16, (uint16_t)count_folders(img, first + 1, first + l->per_group));
		l->free_blocks += blocks;
		l->free_inodes += l->per_group - here;
	}
	return 0;
}

static int put_table(struct ext4_image *img, const struct layout *l, struct err *err)
{
	uint32_t at = 0, number;

	for (uint32_t i = 0; i < (l->end - l->table) * EXT4_BLOCK_INODES; i += EXT4_BLOCK_INODES) {
		uint8_t *block = ext4_next_block(img, &number, err);

		if (block == NULL)
			return -EIO;
		for (; at < img->count && number_at(img, at) - 1 < i + EXT4_BLOCK_INODES; at++)
			memcpy(block + (size_t)(number_at(img, at) - 1 - i) * EXT4_INODE,
			       img->table + (size_t)at * EXT4_INODE, EXT4_INODE);
	}
	return 0;
}

static void put_super(const struct ext4_image *img, const struct layout *l,
		      const struct ext4_result *result, uint8_t *s)
{
	le_put32(s, l->groups * l->per_group);
	le_put32(s + 4, l->total);
	le_put32(s + 12, l->free_blocks);
	le_put32(s + 16, l->free_inodes);
	le_put32(s + 24, 2); /* blocks and clusters of 4 KiB */
	le_put32(s + 28, 2);
	le_put32(s + 32, EXT4_GROUP_BLOCKS);
	le_put32(s + 36, EXT4_GROUP_BLOCKS);
	le_put32(s + 40, l->per_group);
	le_put16(s + 54, 0xffff); /* no check after so many mounts */
	le_put16(s + 56, 0xef53);
	le_put16(s + 58, 1); /* clean */
	le_put16(s + 60, 1); /* on errors: continue */
	le_put32(s + 76, 1); /* revision */
	le_put32(s + 84, EXT4_FIRST_INODE);
	le_put16(s + 88, EXT4_INODE);
	le_put32(s + 92, COMPAT);
	le_put32(s + 96, INCOMPAT);
	le_put32(s + 100, RO_COMPAT);
	memcpy(s + 104, result->uuid, sizeof(result->uuid));
	memcpy(s + 236, img->hash_seed, sizeof(img->hash_seed));
	s[252] = 1;		 /* half MD4 */
	le_put32(s + 256, 0x0c); /* user_xattr, acl */
	le_put16(s + 348, EXT4_EXTRA_ISIZE);
	le_put16(s + 350, EXT4_EXTRA_ISIZE);
	le_put32(s + 352, 1); /* hashes of signed characters */
	s[372] = 4;	      /* groups of a flex group: 2^4 */
}

static int put_head(struct ext4_image *img, const struct layout *l,
		    const struct ext4_result *result, const uint8_t *descriptors, struct err *err)
{
	uint8_t block[EXT4_BLOCK] = {0};
	int ret;

	put_super(img, l, result, block + SUPER_OFFSET);
	ret = write_blocks(img, block, 0, 1, err);
	return ret < 0 ? ret : write_blocks(img, descriptors, 1, l->descriptors, err);
}

static void derive(struct ext4_image *img, const uint8_t seed[EXT4_SEED_SIZE],
		   struct ext4_result *result)
{
	memcpy(result->uuid, seed, 16);
	/* RFC 9562: version 8, whose bits are the maker's own. */
	result->uuid[6] = (uint8_t)((result->uuid[6] & 0x0f) | 0x80);
	result->uuid[8] = (uint8_t)((result->uuid[8] & 0x3f) | 0x80);
	memcpy(img->hash_seed, seed + 16, sizeof(img->hash_seed));
}

static int put_inodes(struct ext4_image *img, struct err *err)
{
	int ret = order_inodes(img, err);

	for (uint32_t i = 0; ret == 0 && i < img->count; i++)
		ret = put_inode(img, img->table + (size_t)i * EXT4_INODE, img->order[i], err);
	return ret;
}

static int put_groups(struct ext4_image *img, struct layout *l, const struct ext4_result *result,
		      struct err *err)
{
	cleanup_free uint8_t *map = calloc(l->groups, EXT4_BLOCK);
	cleanup_free uint8_t *descriptors = calloc(l->descriptors, EXT4_BLOCK);
	int ret;

	if (map == NULL || descriptors == NULL)
		return no_memory(err);
	mark_blocks(img, l, map);
	ret = put_bitmaps(img, l, map, descriptors, err);
	if (ret < 0)
		return ret;
	ret = put_table(img, l, err);
	if (ret < 0)
		return ret;
	ret = flush(img, err);
	if (ret < 0)
		return ret;
	ret = punch_unused(img, map, l->metadata, err);
	return ret < 0 ? ret : put_head(img, l, result, descriptors, err);
}

int ext4_image_finish(struct ext4_image *img, const uint8_t seed[EXT4_SEED_SIZE],
		      struct ext4_result *result, struct err *err)
{
	struct layout l = {0};
	int ret = ext4_image_align(img, err);

	if (ret < 0)
		return ret;
	derive(img, seed, result);
	l.metadata = img->next;
	ret = put_inodes(img, err);
	if (ret < 0)
		return ret;
	lay_out(img, &l);
	if (l.groups > EXT4_MAX_GROUPS)
		return err_set(err, ERR_INTEGRITY, "the file system has more than 64 GiB");
	ret = put_groups(img, &l, result, err);
	if (ret < 0)
		return ret;
	result->size = (uint64_t)l.total * EXT4_BLOCK;
	result->inodes = img->count;
	if (ftruncate(img->fd, (off_t)result->size) < 0)
		return err_sys(err, errno, "write the file system");
	return 0;
}

int ext4_image_new(struct ext4_image **out, int fd, struct layer_tree *tree, uint64_t max_bytes,
		   struct err *err)
{
	struct ext4_image *img = calloc(1, sizeof(*img));

	*out = img;
	if (img == NULL)
		return no_memory(err);
	img->fd = fd;
	img->tree = tree;
	img->max_bytes = u64_min(max_bytes, EXT4_MAX_BYTES);
	img->max_blocks = FIRST_DATA + img->max_bytes / EXT4_BLOCK;
	img->next = FIRST_DATA;
	img->out_first = FIRST_DATA;
	img->out = malloc((size_t)EXT4_OUT_BLOCKS * EXT4_BLOCK);
	return img->out != NULL ? 0 : no_memory(err);
}

void ext4_image_free(struct ext4_image *img)
{
	if (img == NULL)
		return;
	free(img->out);
	free(img->order);
	free(img->table);
	free(img);
}
