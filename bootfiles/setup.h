/*
 * What a guest's init is told (guest/init_config.h), from the config of a container image and what
 * the user said instead. Pure; any thread.
 */
#ifndef TORPOR_BOOTFILES_SETUP_H
#define TORPOR_BOOTFILES_SETUP_H

#include "base/buf.h"
#include "base/err.h"
#include "container/image_config.h"

#define SETUP_HOSTNAME_SIZE 64u

struct setup {
	const struct image_config *image;
	char *const *command; /* in place of the image's cmd, ends with NULL; NULL: not given */
	const char *root;     /* the device of the root file system */
	const char *root_type;
	const char *hostname;
	const char *const *modules; /* paths in the initramfs, in the order of loading */
	size_t nmodules;
	const char *const *share; /* where share0, share1 … are mounted */
	size_t nshares;
};

/* Append the file. Returns 0; -EINVAL with ERR_FAILED for a stop signal that is none, or for more
 * than INIT_CONFIG_MAX bytes; or -ENOMEM. */
int setup_write(const struct setup *setup, struct buf *out, struct err *err);

/* A signal by number or name, with or without SIG; RTMIN+N too. Returns it, or -EINVAL. */
int setup_signal(const char *text);
/* A host name that fits the last part of an image's name or a path: letters, digits and '-'. */
void setup_hostname(const char *source, char name[SETUP_HOSTNAME_SIZE]);

#endif
