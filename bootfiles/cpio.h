/*
 * A cpio archive in the "newc" form, which Linux unpacks as its initramfs (the kernel's
 * Documentation/driver-api/early-userspace/buffer-format.rst). Owners are root, times are zero, and
 * inode numbers count up: the same entries give the same bytes.
 *
 *     struct cpio cpio = {.out = &buf};
 *     cpio_folder, cpio_file, cpio_device … → cpio_end
 *
 * Folders come before what lies in them. Only memory can run out: buf_failed(). One thread.
 */
#ifndef TORPOR_BOOTFILES_CPIO_H
#define TORPOR_BOOTFILES_CPIO_H

#include "base/buf.h"

struct cpio {
	struct buf *out;
	uint32_t entries;
};

/* Paths have no slash in front. */
void cpio_folder(struct cpio *cpio, const char *path);
void cpio_file(struct cpio *cpio, const char *path, unsigned mode, const void *data, size_t len);
/* A character device. */
void cpio_device(struct cpio *cpio, const char *path, unsigned mode, unsigned major,
		 unsigned minor);
void cpio_end(struct cpio *cpio);

#endif
