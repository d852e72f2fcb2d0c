/*
 * SIGBUS in guest memory: the kernel cannot give a page, because the file that was mapped there was
 * truncated or cannot be read, or because the host's memory failed.
 *
 * The signal comes to the thread that touches the page, whichever it is, if the thread does not
 * block it. Without a watch, and outside of what is watched, it ends the process, as before. vCPUs
 * do not get it: KVM_RUN returns -EFAULT. Nothing here returns an error.
 */
#ifndef TORPOR_VMM_SIGBUS_H
#define TORPOR_VMM_SIGBUS_H

#include <stdint.h>

/* `at` lies in the watched memory. Called in the signal handler of the thread that touched it,
 * which may hold the machine lock, but is in none of our other critical sections and not in
 * malloc(3). On return the page reads as zeros. */
typedef void sigbus_fn(void *opaque, const void *at);

/* Watch [host, host + len), for one machine. Any thread. When 64 ranges are watched already, this
 * one is not. */
void sigbus_watch(const uint8_t *host, uint64_t len, sigbus_fn *lost, void *opaque);
/* Stop watching the range that begins at `host`, if it is watched. No thread touches it any
 * more. */
void sigbus_unwatch(const uint8_t *host);

#endif
