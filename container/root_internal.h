/* What root.c tells root_cache.c. */
#ifndef TORPOR_CONTAINER_ROOT_INTERNAL_H
#define TORPOR_CONTAINER_ROOT_INTERNAL_H

#include "base/json.h"
#include "container/root.h"

/* Counts for the UUID: another way to lay out the same contents is another file system. */
#define CONTAINER_ROOT_LAYOUT "torpor root 1\n"

/* From the words in which a root file system is described. After an error the caller frees *out,
 * too. Returns 0, or -errno with ERR_INTEGRITY or for want of memory. */
int container_root_decode(struct container_root *out, json_t *words, struct err *err);

#endif
