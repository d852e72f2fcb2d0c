/*
 * The top layer of a writable disk: a private sparse file without a name, and a bitmap of the 4 KiB
 * blocks that are in it. A hole in the file is a block of zeros. Closing it frees its space.
 *
 * Lock: the disk's (machine lock), except scratch_has and scratch_read while the machine is paused.
 */
#ifndef TORPOR_DEVICES_DISK_SCRATCH_H
#define TORPOR_DEVICES_DISK_SCRATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define SCRATCH_BLOCK 4096u

struct scratch {
	int fd;
	uint64_t blocks;
	uint64_t used; /* blocks present */
	uint8_t *map;  /* owned; bit set: the block is here */
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
/* Write bytes; blocks touched must be here already, or be covered whole: they are here afterwards.
 * After an error, blocks that were not here before are still not. Returns 0, or what pwrite(2)
 * gave. */
int scratch_write(struct scratch *s, uint64_t at, const void *src, uint64_t len);
/* Make whole blocks read as zero. `discard`: give back their space; else keep it reserved. Returns
 * 0, or what pwrite(2) gave. */
int scratch_zero(struct scratch *s, uint64_t block, uint64_t count, bool discard);

/* No block is here any more. Also one that was never opened. Returns 0, or what ftruncate(2) gave.
 */
int scratch_drop(struct scratch *s);

#endif
