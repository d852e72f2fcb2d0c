/*
 * The config of a container image (OCI image spec 1.1, "Image Configuration"; docker's is the
 * same): what to run in it, as whom, where. Text in, plain strings out, and back. Pure; any thread.
 *
 * The text is a stranger's. Strings hold no NUL and are UTF-8, but may hold control characters:
 * print them through base/printable.h only. Whether a user or a folder exists in the image is for
 * its init to find out.
 *
 * Functions that return int return 0; -EINVAL with ERR_INTEGRITY for a malformed config; -ENOMEM.
 */
#ifndef TORPOR_CONTAINER_IMAGE_CONFIG_H
#define TORPOR_CONTAINER_IMAGE_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define IMAGE_CONFIG_STRINGS 4096u /* in one list */

/* Owned; item[count] is NULL, so that a list that is not empty is an argv. */
struct image_strings {
	char **item; /* NULL while empty */
	size_t count;
};

struct image_label {
	char *key, *value;
};

/* A member that the config lacks is empty; a string is then "", never NULL. */
struct image_config {
	char *architecture; /* as Go names it: amd64, arm64 */
	char *os;
	char *user;			 /* NAME|UID[:GROUP|GID] */
	char *workdir;			 /* a path in the image */
	char *stop_signal;		 /* SIGTERM, TERM or a number */
	struct image_strings entrypoint; /* the command line is entrypoint, then cmd */
	struct image_strings cmd;
	struct image_strings env;     /* NAME=VALUE, in the image's order */
	struct image_strings ports;   /* PORT[/tcp|/udp], sorted */
	struct image_strings volumes; /* paths, sorted */
	/* CMD and an argv, CMD-SHELL and a line for a shell, or NONE: docker's, of which OCI knows
	 * nothing. */
	struct image_strings health;
	struct image_strings diff_ids; /* digests of the layers, unpacked, lowest first */
	struct image_label *label;     /* sorted by key; owned */
	size_t labels;
};

#define cleanup_image_config __attribute__((cleanup(image_config_free)))

/* Members that are not used here are passed over. On failure nothing is owned. */
int image_config_parse(struct image_config *config, const uint8_t *text, size_t len,
		       struct err *err);
/* The config of a root file system that comes without one: nothing to run. */
int image_config_empty(struct image_config *config, struct err *err);
/* Append a text that image_config_parse() takes, with the members above and no others. The same
 * config always gives the same bytes. */
int image_config_write(const struct image_config *config, struct buf *out, struct err *err);
/* Also one that is all zero. */
void image_config_free(struct image_config *config);

#endif
