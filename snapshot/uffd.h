/*
 * userfaultfd, as far as the pager needs it: missing pages of anonymous memory (kernel
 * documentation, admin-guide/mm/userfaultfd; userfaultfd(2), ioctl_userfaultfd(2)).
 *
 * Any thread may call any of these on the same descriptor. What returns no error cannot fail.
 */
#ifndef TORPOR_SNAPSHOT_UFFD_H
#define TORPOR_SNAPSHOT_UFFD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* A non-blocking descriptor that also gets the faults the kernel takes on our behalf: KVM's, and
 * those of system calls. Returns 0, ERR_INCOMPATIBLE (names the right that is missing), or the
 * errno of UFFDIO_API; on failure *fd is -1. */
int uffd_open(int *fd, struct err *err);

/* From now on a thread that touches a missing page in there waits. Returns 0, or the errno of
 * UFFDIO_REGISTER. */
int uffd_register(int fd, uint8_t *host, uint64_t len, struct err *err);
/* Missing pages are zero again; all waiters go on. Memory that was mapped anew meanwhile is left
 * alone. Returns 0 or -errno of UFFDIO_UNREGISTER. */
int uffd_unregister(int fd, uint8_t *host, uint64_t len);

/* Take one fault; false when there is none (any more). */
bool uffd_next(int fd, uint8_t **address);

/* Put `data` (NULL: zeros) into the missing pages of [host, host + len). Pages that are there
 * already stay as they are, and so do those that are not registered any more, because they were
 * discarded. Wakes no thread. Returns 0, or -errno of UFFDIO_COPY or UFFDIO_ZEROPAGE. */
int uffd_copy(int fd, uint8_t *host, const uint8_t *data, uint64_t len);
/* Wake the threads that wait in there, as a rule on this very processor. */
void uffd_wake(int fd, uint8_t *host, uint64_t len);

#endif
