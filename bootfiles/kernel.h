/*
 * The kernel of a guest that is made from a container image, with its modules.
 *
 * In this order: the newest in /boot whose modules are in /lib/modules; the newest that was
 * downloaded before; Debian's kernel for clouds, downloaded by apt where this host is a Debian. A
 * download is unpacked, never installed: into `cache`/PACKAGE, complete or not at all. It takes some
 * seconds, of which standard error is told if it is a terminal.
 */
#ifndef TORPOR_BOOTFILES_KERNEL_H
#define TORPOR_BOOTFILES_KERNEL_H

#include <limits.h>

#include "base/err.h"

struct kernel_files {
	char kernel[PATH_MAX];
	char modules[PATH_MAX]; /* for modules_open() */
};

/* `boot` and `lib` are /boot and /lib/modules but in tests. `cache` is a folder that exists, or
 * NULL: nothing is looked for there, and nothing is downloaded. Calls fork(2) for a download:
 * SIGCHLD is not ignored. Returns 0; -ENOENT with ERR_NOT_FOUND, which says what to do; or what a
 * system call gave. */
int kernel_find(struct kernel_files *files, const char *boot, const char *lib, const char *cache,
		struct err *err);

#endif
