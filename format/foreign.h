/*
 * What a file is that is neither an appliance nor a raw disk, by its first bytes: to say so, with
 * the command that converts it. Pure; cannot fail.
 */
#ifndef TORPOR_FORMAT_FOREIGN_H
#define TORPOR_FORMAT_FOREIGN_H

#include <stddef.h>
#include <stdint.h>

#define FOREIGN_HEAD 512u /* bytes to look at, or as many as there are */

/* "a qcow2 image: `qemu-img convert -O raw` makes a raw disk of it"; NULL: nothing that is
 * known. */
const char *foreign_format(const uint8_t *head, size_t len);

#endif
