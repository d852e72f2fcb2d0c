/*
 * A folder of this host as the root file system: its files go into a tree, and their contents into
 * a file system. Nothing in it is followed or changed.
 *
 * Owners stay as they are, but for the user and the group of this process, which become root: who
 * is not root makes files that are his. Other file systems that are mounted in it are left out, and
 * so are sockets. Attributes of regular files and folders are taken (user.*, security.capability,
 * access control lists).
 */
#ifndef TORPOR_CONTAINER_FOLDER_READ_H
#define TORPOR_CONTAINER_FOLDER_READ_H

#include "container/ext4_image.h"
#include "format/crypto/digest.h"

/* `sum` becomes the digest of all that was taken. Returns 0; what layer_tree.h and ext4_image.h
 * give; or the errno of openat(2), fstatat(2), readdir(3), readlinkat(2), read(2) or fgetxattr(2),
 * also when a file may not be read. */
int folder_read(const char *path, struct layer_tree *tree, struct ext4_image *img,
		uint8_t sum[DIGEST_SIZE], struct err *err);

#endif
