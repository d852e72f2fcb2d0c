/*
 * The raw file or block device of a disk that is written through: changes go to it and nowhere else.
 *
 * Any thread, no lock: there is no state but the file's own, and whether a flush has ever failed.
 * Requests that overlap are in no order but the caller's.
 */
#ifndef TORPOR_DEVICES_DISK_RAW_H
#define TORPOR_DEVICES_DISK_RAW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Make a range read as zero. `discard`: give its space back (FALLOC_FL_PUNCH_HOLE); else it stays
 * reserved (FALLOC_FL_ZERO_RANGE). Where the file system or device can do neither, zeros are
 * written. Returns 0, or what fallocate(2) or pwrite(2) gave. */
int raw_zero(int fd, uint64_t at, uint64_t len, bool discard);

/* What was written before the call is on stable storage (fdatasync(2)). Once that has failed, the
 * kernel may have dropped what it could not write, and would report success the next time: *failed
 * is then set, and every further flush fails. Returns 0, -EIO for such a one, or what fdatasync(2)
 * gave. */
int raw_flush(int fd, atomic_bool *failed);

#endif
