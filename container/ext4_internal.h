/* What the files that write an ext4 file system share. Sizes and offsets on the disk are those of
 * the kernel's fs/ext4/ext4.h. */
#ifndef TORPOR_CONTAINER_EXT4_INTERNAL_H
#define TORPOR_CONTAINER_EXT4_INTERNAL_H

#include "container/ext4_image.h"

#define EXT4_BLOCK	    4096u
#define EXT4_FRAME_BLOCKS   16u /* 64 KiB */
#define EXT4_GROUP_BLOCKS   32768u
#define EXT4_MAX_GROUPS	    512u
#define EXT4_GROUP_DESC	    32u
#define EXT4_INODE	    256u
#define EXT4_BLOCK_INODES   (EXT4_BLOCK / EXT4_INODE)
#define EXT4_EXTRA_ISIZE    32u
#define EXT4_XATTR_IN_INODE (EXT4_INODE - 128u - EXT4_EXTRA_ISIZE)
#define EXT4_ROOT	    2u
#define EXT4_FIRST_INODE    11u
#define EXT4_I_BLOCK	    40u /* offset of i_block in an inode */
#define EXT4_I_BLOCK_SIZE   60u

#define EXT4_FLAG_INDEX	  0x1000u
#define EXT4_FLAG_EXTENTS 0x80000u

#define EXT4_OUT_BLOCKS 256u

struct ext4_image {
	int fd;
	struct layer_tree *tree;
	uint64_t max_blocks; /* limit on `next` while contents come */
	uint64_t max_bytes;  /* as the caller said it */
	uint32_t spare;	     /* free blocks that the file system is to have */

	/* What is not yet written: blocks from `out_first` to `next`. */
	uint8_t *out; /* owned */
	uint32_t out_first, next;

	/* The file that comes. */
	struct tree_inode *file;
	uint8_t *block; /* its last block, in `out`; NULL: none */
	uint32_t logical;

	/* The inodes by number, from the root and EXT4_FIRST_INODE on, and the table of them. */
	struct tree_inode **order; /* owned */
	uint32_t count;
	uint8_t *table; /* owned; of `count` inodes */
	uint8_t hash_seed[16];
};

/* The next block of the output, zeroed, valid until the next call. Returns NULL after an error. */
uint8_t *ext4_next_block(struct ext4_image *img, uint32_t *number, struct err *err);

/* Put extents, in order, into an inode's i_block, and into blocks of their own where they do not
 * fit; `*blocks` counts those. */
int ext4_put_extents(struct ext4_image *img, const struct tree_extent *extent, uint32_t count,
		     uint8_t i_block[EXT4_I_BLOCK_SIZE], uint32_t *blocks, struct err *err);

struct ext4_folder {
	uint32_t first, blocks; /* contiguous */
	uint32_t folders;	/* in it */
	bool indexed;
};

/* Write the blocks of a folder. */
int ext4_put_folder(struct ext4_image *img, const struct tree_inode *inode,
		    struct ext4_folder *folder, struct err *err);

/* Put the attributes of a file into `room` at the end of its inode or, what does not fit, into a
 * block, whose number is *block; 0: there is none. */
int ext4_put_xattrs(struct ext4_image *img, const struct tree_inode *inode,
		    uint8_t room[EXT4_XATTR_IN_INODE], uint32_t *block, struct err *err);

/* The hash of a name by which an indexed folder is sorted: half MD4, of signed characters. Pure. */
uint32_t ext4_name_hash(const char *name, const uint8_t seed[16]);

#endif
