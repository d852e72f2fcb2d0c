/*
 * Calls that not every architecture has: the tables of sandbox.c name them all. arm64 came after their
 * successors (access: faccessat; poll: ppoll; …), which are in the tables, too.
 */
#ifndef TORPOR_HOST_SANDBOX_CALLS_H
#define TORPOR_HOST_SANDBOX_CALLS_H

#include <sys/syscall.h>

#define NO_CALL 0xffffu /* no architecture has that many */

#ifndef SYS_access
#define SYS_access NO_CALL
#endif
#ifndef SYS_readlink
#define SYS_readlink NO_CALL
#endif
#ifndef SYS_poll
#define SYS_poll NO_CALL
#endif
#ifndef SYS_time
#define SYS_time NO_CALL
#endif
#ifndef SYS_mkdir
#define SYS_mkdir NO_CALL
#endif
#ifndef SYS_rename
#define SYS_rename NO_CALL
#endif
#ifndef SYS_unlink
#define SYS_unlink NO_CALL
#endif
#ifndef SYS_arch_prctl
#define SYS_arch_prctl NO_CALL
#endif
#ifndef SYS_epoll_wait
#define SYS_epoll_wait NO_CALL
#endif
#ifndef SYS_dup2
#define SYS_dup2 NO_CALL
#endif
#ifndef SYS_chmod
#define SYS_chmod NO_CALL
#endif
#ifndef SYS_rmdir
#define SYS_rmdir NO_CALL
#endif
#ifndef SYS_iopl
#define SYS_iopl NO_CALL
#endif
#ifndef SYS_ioperm
#define SYS_ioperm NO_CALL
#endif
#ifndef SYS_modify_ldt
#define SYS_modify_ldt NO_CALL
#endif

#endif
