/*
 * What the kernel ends when there is no memory left. Any thread.
 */
#ifndef TORPOR_HOST_OOM_H
#define TORPOR_HOST_OOM_H

#include <stdint.h>

/* How many processes the kernel has ended for want of memory since it booted, of the host or of a
 * control group (oom_kill in /proc/vmstat). 0 where that cannot be read. */
uint64_t oom_kills(void);

#endif
