/*
 * Unix stream sockets by path. A path may be as long as PATH_MAX, although an address holds 107
 * bytes: a longer one is reached through its folder's descriptor in /proc/self/fd. Any thread.
 */
#ifndef TORPOR_BASE_UNIX_SOCKET_H
#define TORPOR_BASE_UNIX_SOCKET_H

#include <stdbool.h>

#include "base/err.h"

/* A non-blocking listening socket at `path` with mode 0600, in place of what a killed process left
 * there. Returns the descriptor; -ENAMETOOLONG; or the errno of socket(2), open(2) of the folder,
 * bind(2), chmod(2) or listen(2). */
int unix_listen(const char *path, struct err *err);

#define UNIX_NO_WAIT 0

/* Connect to the socket at `path`, waiting at most `timeout_ms` while its queue is full. The
 * descriptor is non-blocking with UNIX_NO_WAIT, else blocking. Returns it, or -errno: -ENOENT,
 * -ENOTDIR and -ECONNREFUSED when no process listens, -EAGAIN when the queue stays full, -EPERM
 * when the process that listens belongs to another user, -ENAMETOOLONG, or what else socket(2),
 * open(2) of the folder, setsockopt(2), getsockopt(2) or connect(2) gave. */
int unix_connect(const char *path, unsigned timeout_ms);

#endif
