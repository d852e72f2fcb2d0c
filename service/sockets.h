/*
 * Sockets that the one who started this process has opened for it: sd_listen_fds(3)'s protocol. They
 * are the descriptors from 3 on, LISTEN_FDS of them, if LISTEN_PID is this process; LISTEN_FDNAMES has
 * their names. host/start.h leaves them open for a command line that speaks of them.
 */
#ifndef TORPOR_SERVICE_SOCKETS_H
#define TORPOR_SERVICE_SOCKETS_H

#include "base/err.h"

/* The descriptor of that name, or the only one there is for "". It listens for TCP or AF_UNIX streams,
 * and is made non-blocking, and closed by execve(2). Returns it, or -EINVAL with ERR_USAGE, which says
 * what is wrong. */
int sockets_take(const char *name, struct err *err);

#endif
