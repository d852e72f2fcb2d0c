/*
 * Landlock (kernel: userspace-api/landlock), as far as the running kernel has it: what this process
 * may do with other processes and with files, whatever its user may.
 *
 * A domain holds for the calling thread and what it starts from then on, for good. The process
 * needs no_new_privs first. A domain of any kind keeps memory and descriptors of processes outside
 * of it out of reach (/proc/PID/mem, ptrace), even for root.
 */
#ifndef TORPOR_HOST_LANDLOCK_H
#define TORPOR_HOST_LANDLOCK_H

#include "base/err.h"

/* Since this version a domain keeps signals and abstract sockets in. */
#define LANDLOCK_SCOPES 6

/* The version of the interface, 1 and up; 0: this kernel has none, or it is switched off. */
int landlock_version(void);

/* The version of the domain that landlock_enter() has put this process into; 0: none. */
int landlock_entered(void);

/* Nothing can be executed, no device, pipe or symbolic link made; from version 6 on no process
 * outside can be sent a signal, nor an abstract socket of one be connected to. Returns 0, also
 * where the kernel has less of it or nothing; or the errno of landlock_create_ruleset(2),
 * landlock_add_rule(2), landlock_restrict_self(2) or of opening /. */
int landlock_enter(struct err *err);

#endif
