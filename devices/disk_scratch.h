/*
 * The top layer of a writable disk: a private sparse file without a name, and a bitmap of the 4 KiB
 * blocks that are in it. A hole in the file is a block of zeros. Closing it frees its space.
 *
 * While another process reads the file as it was at one moment, it is frozen: what is written goes to
 * a second file, and later from there into the first, piece by piece:
 *
 *     scratch_prepare → scratch_freeze → … → scratch_thaw → scratch_merge until it is done
 *
 * A process that was forked while it is frozen reads what was there: it has a bitmap of its own, and
 * shares a file that nobody changes.
 *
 * Lock: the disk's own (disk.h), to read for scratch_has, scratch_extent and scratch_read, else to write.
 */
#ifndef TORPOR_DEVICES_DISK_SCRATCH_H
#define TORPOR_DEVICES_DISK_SCRATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"

#define SCRATCH_BLOCK 4096u

enum scratch_phase {
	SCRATCH_PLAIN,	 /* one file */
	SCRATCH_READY,	 /* the second one is there, and empty */
	SCRATCH_FROZEN,	 /* the first is not written to */
	SCRATCH_MERGING, /* nor is the second any more: it gets emptier */
};

struct scratch {
	int fd;
	uint64_t blocks;
	uint64_t used; /* blocks present */
	uint8_t *map;  /* owned; bit set: the block is here */

	enum scratch_phase phase;
	int upper_fd;	     /* the second file; -1: none */
	uint8_t *upper;	     /* owned; bit set: what the block holds now is in that; NULL: none */
	uint64_t upper_used; /* blocks in it */
	uint64_t merged;     /* all blocks of it before this one are not in it any more */
};

/* For a disk of `size` bytes; the file is made in folder `dir`. Returns 0, -ENOMEM, -ENAMETOOLONG,
 * or what open(2), mkostemp(3) or ftruncate(2) gave (err names the folder). */
int scratch_open(struct scratch *s, const char *dir, uint64_t size, struct err *err);
/* Safe on one that was never opened, with fd -1. */
void scratch_close(struct scratch *s);

/* One that was never opened, as that of a read-only disk, has no block. */
bool scratch_has(const struct scratch *s, uint64_t block);
/* How many blocks from `block` on, at most `most`, are like it: all here, or all not. */
uint64_t scratch_extent(const struct scratch *s, uint64_t block, uint64_t most);

/* Bytes of blocks that are here. Returns 0, -ENODATA when the file ends early, or what pread(2)
 * gave. */
int scratch_read(const struct scratch *s, uint64_t at, void *dst, uint64_t len);
/* The same for memory in pieces, which are used up. Of blocks that are in one file; -EXDEV: they are not, and
 * nothing is done. */
int scratch_readv(const struct scratch *s, uint64_t at, struct iovec *iov, unsigned n,
		  uint64_t len);
/* Whole blocks, written from memory in pieces. As scratch_write(). */
int scratch_writev(struct scratch *s, uint64_t at, struct iovec *iov, unsigned n, uint64_t len);
/* Write bytes; blocks touched must be here already, or be covered whole: they are here afterwards.
 * After an error, blocks that were not here before are still not. Returns 0, or what pwrite(2)
 * gave. */
int scratch_write(struct scratch *s, uint64_t at, const void *src, uint64_t len);
/* Make whole blocks read as zero. `discard`: give back their space; else keep it reserved. Returns
 * 0, or what pwrite(2) gave. */
int scratch_zero(struct scratch *s, uint64_t block, uint64_t count, bool discard);

/* No block is here any more. Also one that was never opened; not one that is frozen (assert). Returns
 * 0, or what ftruncate(2) gave. */
int scratch_drop(struct scratch *s);

/* What its files take on the host's disk, in bytes. Cannot fail. */
uint64_t scratch_bytes(const struct scratch *s);

/* Make the second file, in folder `dir`. Nothing is done where there is one, or the disk has no scratch
 * file. Returns what scratch_open() does. */
int scratch_prepare(struct scratch *s, const char *dir, struct err *err);
/* Freeze one that is prepared, and is not merging (assert). Cannot fail. */
void scratch_freeze(struct scratch *s);
/* The first file may be written again. Also one that is not frozen. Cannot fail. */
void scratch_thaw(struct scratch *s);
/* Blocks wait to be merged. */
bool scratch_merging(const struct scratch *s);
/* Move about `bytes` from the second file into the first; the last of it closes the second file. Returns
 * 0, or what pread(2) or pwrite(2) gave: nothing is lost then, and it may be tried again. */
int scratch_merge(struct scratch *s, uint64_t bytes);

#endif
