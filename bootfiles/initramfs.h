/*
 * The initramfs of a guest that is made from a container image: our init (guest/init), the kernel's
 * modules that torpor's machine takes, and what the init is told. The same input gives the same
 * bytes.
 */
#ifndef TORPOR_BOOTFILES_INITRAMFS_H
#define TORPOR_BOOTFILES_INITRAMFS_H

#include "base/buf.h"
#include "base/err.h"
#include "bootfiles/setup.h"

struct initramfs_params {
	const char *modules; /* the folder of modules_open() */
	const char *const *extra;
	size_t nextra; /* modules that are wanted beside ours */
	const struct image_config *image;
	char *const *command; /* as in struct setup */
	const char *hostname;
	const char *const *share; /* as in struct setup */
	size_t nshares;
	bool vsock; /* the machine has one */
};

/* Append it. Returns 0, or what modules_open(), modules_load() and setup_write() give: a kernel
 * without a module that is needed is ERR_NOT_FOUND. */
int initramfs_make(const struct initramfs_params *params, struct buf *out, struct err *err);

#endif
