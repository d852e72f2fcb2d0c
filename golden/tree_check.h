/*
 * The files of a guest against an accepted listing of them: a text that is committed.
 *
 *     exclude: /run /tmp
 *     / drwxr-xr-x 0:0 - -
 *     /etc/motd -rw-r--r-- 0:0 12 sha256:0a1b…
 *
 * Its first lines say what is left out, as guest_tree_exclude() takes it; the others are a name and
 * a value (guest_tree.h), by name. One thread.
 */
#ifndef TORPOR_GOLDEN_TREE_CHECK_H
#define TORPOR_GOLDEN_TREE_CHECK_H

#include "golden/guest_tree.h"
#include "golden/test_run.h"

/*
 * List the files of the guest, and append to *diff what differs from the listing at `path`: a
 * unified diff without context, nothing when there is no difference. With `update` the listing is
 * written then; a new one leaves out /run and /tmp. Returns 0; -ENOENT with ERR_NOT_FOUND when
 * there is no listing; ERR_USAGE when it cannot be read; ERR_FAILED when the guest cannot list its
 * files; -ENOMEM; or what guest->run(), test_file_text() and the functions of tempfile.h give.
 */
int tree_check(const char *path, const struct test_guest *guest, bool update, struct buf *diff,
	       struct err *err);

#endif
