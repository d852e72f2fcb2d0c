/* The store: the folder of the user's appliances that are known by a name (path_store()). */
#ifndef TORPOR_HOST_STORE_H
#define TORPOR_HOST_STORE_H

#include <limits.h>
#include <stdbool.h>

#include "base/err.h"

/* Whether the path, which need not exist, is of a file in the store. False, too, when there is no
 * store. */
bool store_has(const char *path);

/* Call `one` for each file of the store, in no order, until it returns something other than 0, and return that; or
 * what path_store_root() and opendir(3) gave. */
int store_each(int (*one)(void *opaque, const char *path, struct err *err), void *opaque,
	       struct err *err);

/* An increment in the store whose parent is the file of this identity. Returns 1 with its file name
 * in `name`, 0 when there is none, or what path_store_root() and opendir(3) gave. Files that cannot
 * be read are passed over. */
int store_find_dependent(const char *digest, char name[NAME_MAX + 1], struct err *err);

#endif
