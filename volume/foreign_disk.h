/*
 * Disk images of other programs, by their headers: what they are, and whether they are whole by
 * themselves. The bytes are hostile.
 */
#ifndef TORPOR_VOLUME_FOREIGN_DISK_H
#define TORPOR_VOLUME_FOREIGN_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/progress.h"

struct foreign_disk {
	const char *format; /* as qemu-img has it: "raw", "qcow2", "vmdk", "vpc" */
	uint64_t size;	    /* bytes that a guest sees */
};

/* Look at the file. Returns 0; -EINVAL with ERR_FAILED for another format, an image that needs other
 * files (a backing file, external data, a parent, extents), that is encrypted, malformed or of a
 * size that no disk has; or the errno of pread(2) or lseek(2). */
int foreign_disk_look(int fd, struct foreign_disk *disk, struct err *err);

/* Make the raw disk `to`, which must not be there, of the file `from`, by qemu-img. It appears whole or not
 * at all. Returns 0; -EEXIST; or what foreign_disk_look(), disk_file_begin(), tool_run() and tempfile_publish_new()
 * give, or the errno of open(2). *size: bytes of the disk. `progress` counts them; NULL: nobody asks. */
int foreign_disk_import(const char *from, const char *to, struct progress *progress, uint64_t *size,
			struct err *err);

#endif
