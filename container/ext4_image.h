/*
 * Writing an ext4 file system (kernel: filesystems/ext4/, "Data Structures and Algorithms"). It is
 * written once; a guest may go on with it as with any other.
 *
 *     ext4_image_new → (ext4_image_align | ext4_file_begin → ext4_file_write* → ext4_file_end)* →
 *     ext4_image_finish → ext4_image_free
 *
 * Contents go to their place in the output while they arrive; everything else follows behind them,
 * from a tree of files. So there is no second copy of the contents, and what a layer holds lies at
 * the same place whatever layers come on top of it: frames of 64 KiB stay the same. Files of 512
 * KiB and more begin at a frame, and so does one in 64 of the others, chosen by its path: behind a
 * file that grows the frames are soon the same again.
 *
 * The bytes depend on the calls and their arguments alone. Times of the file system are 0; its UUID
 * and its hash seed are the caller's. There is no journal, one superblock, and free space only as
 * ext4_image_spare() says.
 *
 * Functions return 0; -EINVAL with ERR_INTEGRITY for files that ext4 cannot hold and contents above
 * the limit; -ENOMEM; or the errno of pwrite(2), fallocate(2) or ftruncate(2). One thread.
 */
#ifndef TORPOR_CONTAINER_EXT4_IMAGE_H
#define TORPOR_CONTAINER_EXT4_IMAGE_H

#include "base/err.h"
#include "container/layer_tree.h"

#define EXT4_MAX_BYTES (UINT64_C(60) << 30) /* of contents */
#define EXT4_MAX_SPARE (UINT64_C(32) << 30)
#define EXT4_SEED_SIZE 32u

struct ext4_image;

#define cleanup_ext4_image __attribute__((cleanup(ext4_image_cleanup)))

/* `fd` is an empty regular file, borrowed; contents of files take at most `max_bytes`. The extents
 * of files are noted in the tree. */
int ext4_image_new(struct ext4_image **out, int fd, struct layer_tree *tree, uint64_t max_bytes,
		   struct err *err);
void ext4_image_free(struct ext4_image *img);

/* The next file begins at a frame: for the first of a layer. */
int ext4_image_align(struct ext4_image *img, struct err *err);

/* Have so many bytes free in the end, and an inode for each 16 KiB of them;
 * at most EXT4_MAX_SPARE. They are holes of the output. */
void ext4_image_spare(struct ext4_image *img, uint64_t bytes);

/* `path` decides whether it begins at a frame, and so does `size`, which is what is expected. The
 * inode must stay in the tree until ext4_file_end(). */
int ext4_file_begin(struct ext4_image *img, struct tree_inode *inode, const char *path,
		    uint64_t size, struct err *err);
/* Offsets ascend; what is passed over is a hole. */
int ext4_file_write(struct ext4_image *img, const void *data, uint64_t len, uint64_t offset,
		    struct err *err);
int ext4_file_end(struct ext4_image *img, uint64_t size, struct err *err);

struct ext4_result {
	uint64_t size; /* of the file */
	uint64_t inodes;
	uint8_t uuid[16];
};

/* The file system is whole then, but not synced. */
int ext4_image_finish(struct ext4_image *img, const uint8_t seed[EXT4_SEED_SIZE],
		      struct ext4_result *result, struct err *err);

static inline void ext4_image_cleanup(struct ext4_image **img)
{
	ext4_image_free(*img);
}

#endif
