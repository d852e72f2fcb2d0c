/*
 * The files of a guest: a script that lists them there, and what it printed as an inventory. A name
 * is the path, a value has four words: MODE OWNER SIZE CONTENT, as
 *
 *     -rw-r--r-- 0:0 12 sha256:0a1b…      a file
 *     lrwxrwxrwx 0:0 7 ->busybox          a symbolic link
 *     crw-rw---- 0:6 - 252,0              a device
 *     drwxr-xr-x 0:0 - -                  all else
 *
 * The script needs find, stat and sha256sum, of coreutils or of busybox. It leaves out /proc, /sys
 * and /dev. What it prints is the guest's, and nothing in it is trusted. One thread.
 */
#ifndef TORPOR_GOLDEN_GUEST_TREE_H
#define TORPOR_GOLDEN_GUEST_TREE_H

#include "golden/inventory.h"

/* For `sh -c`. It prints for each file, then `=` and a newline, then sha256sum(1)'s lines. */
extern const char guest_tree_script[];

/* Paths that are left out: fnmatch(3), where `*` matches `/` too; of a folder, all that is in it. */
struct guest_tree_excludes {
	char **pattern; /* owned, as its elements */
	size_t n;
};

/* Patterns with spaces between them. Returns 0; -EINVAL with ERR_USAGE for one that can match no path,
 * as it does not begin with `/`; -ENOMEM. */
int guest_tree_exclude(struct guest_tree_excludes *x, const char *patterns, struct err *err);
/* Safe on zeroes. */
void guest_tree_excludes_free(struct guest_tree_excludes *x);

/* What the script printed, sorted. Returns 0; -EINVAL with ERR_FAILED when it is something else;
 * -ENOMEM. *tree is for inventory_free() in each case. */
int guest_tree_parse(struct inventory *tree, const char *output, size_t len,
		     const struct guest_tree_excludes *excludes, struct err *err);

/* How a value differs from another, in words: "mode -rw-r--r--, was -rw-------; other content". */
void guest_tree_words(const char *was, const char *is, struct buf *out);

#endif
