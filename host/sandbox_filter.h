/*
 * From a verdict for each system call to a seccomp filter (seccomp(2), kernel:
 * userspace-api/seccomp_filter). Pure: nothing is installed here. Cannot fail: verdicts whose
 * filter is longer than SANDBOX_CODE_MAX are our bug (assert).
 *
 * Calls are searched by halving, not one after the other: the kernel runs the filter once for every
 * call there is when it is installed, and a resume waits for that (figures in ARCHITECTURE.md). For
 * verdicts that do not look at arguments it then never runs it again.
 */
#ifndef TORPOR_HOST_SANDBOX_FILTER_H
#define TORPOR_HOST_SANDBOX_FILTER_H

#include <linux/filter.h>
#include <stdint.h>
#include <sys/types.h>

/* What may happen. The ones that look at an argument fail with EPERM where it is not as said. */
enum verdict {
	VERDICT_KILL,	 /* the process ends with SIGSYS */
	VERDICT_MISSING, /* ENOSYS: as if the kernel did not have it */
	VERDICT_ALLOW,
	VERDICT_READ_ONLY,     /* openat: for reading, nothing created */
	VERDICT_EXISTING,      /* openat: nothing created or cut */
	VERDICT_NO_CODE,       /* mmap, mprotect: not executable */
	VERDICT_CODE_OR_DATA,  /* mmap: executable or writable, not both */
	VERDICT_THREAD,	       /* clone: a thread of this process */
	VERDICT_COPY,	       /* clone: a thread, or what fork(3) does, and no other process */
	VERDICT_PROCESS,       /* clone: thread or process, in our namespaces */
	VERDICT_LOCAL,	       /* socket, socketpair: AF_UNIX */
	VERDICT_NETWORK,       /* socket: AF_UNIX, AF_INET, AF_INET6 */
	VERDICT_TERMINAL,      /* ioctl: terminal modes and size */
	VERDICT_KVM,	       /* ioctl: KVM's */
	VERDICT_MACHINE_IOCTL, /* ioctl: KVM's, userfaultfd's, terminal modes; not TIOCSTI */
	VERDICT_TAP_IOCTL,     /* the same, and setting up a tap interface */
	VERDICT_OFFLOAD_IOCTL, /* the same as the machine's, and a tap's offloads alone */
	/* prctl: the thread's name; is the process dumpable, make it not so; a signal when the parent
	 * ends */
	VERDICT_NAME,
	VERDICT_INTERNET,      /* socket: AF_INET, AF_INET6 */
	VERDICT_OWN_THREAD,    /* tgkill: a thread of this process */
	VERDICT_THIS_PROCESS,  /* prlimit64, sched_setscheduler: with 0 for a pid */
	VERDICT_THIS_PRIORITY, /* setpriority: of this thread */
	VERDICTS,
};

/* Numbers from here on are calls younger than this program's tables: always VERDICT_MISSING, which
 * is what libraries that try them are ready for. Those of the x32 ABI are among them. */
#define SANDBOX_CALLS 512u

#define SANDBOX_CODE_MAX 768u

struct sandbox_filter {
	unsigned len;
	struct sock_filter code[SANDBOX_CODE_MAX];
};

/* `self`: the process that VERDICT_OWN_THREAD means. */
void sandbox_filter_build(struct sandbox_filter *filter, const uint8_t verdicts[SANDBOX_CALLS],
			  pid_t self);

#endif
