/*
 * See sandbox.h. The tables say which calls; sandbox_filter.c makes a filter of them.
 *
 * Readers are killed for what is not in their tables. A machine holds somebody's work: a call that
 * is merely not foreseen (in a library's new version, say) fails as if the kernel did not have it,
 * and only what no mistake explains kills it.
 */
#include "host/sandbox.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/num.h"
#include "format/crypto/digest.h"
#include "format/crypto/lazy.h"
#include "host/sandbox_filter.h"

/* For calls `first` to `last`. */
struct rule {
	uint16_t first;
	uint16_t last;
	uint8_t verdict;
};

/* clang-format off */
#define RULE(call, verdict) {SYS_##call, SYS_##call, verdict}
#define ALLOW(call)         RULE(call, VERDICT_ALLOW)
#define KILL(first, last)   {SYS_##first, SYS_##last, VERDICT_KILL}
/* clang-format on */

/* Everybody: open files, memory, threads, the time, the end. */
static const struct rule common[] = {
	ALLOW(read),
	ALLOW(readv),
	ALLOW(pread64),
	ALLOW(preadv),
	ALLOW(write),
	ALLOW(writev),
	ALLOW(lseek),
	ALLOW(close),
	ALLOW(fstat),
	ALLOW(newfstatat),
	ALLOW(statx),
	ALLOW(fstatfs),
	ALLOW(access),
	ALLOW(readlink),
	ALLOW(getdents64),
	ALLOW(getcwd),
	ALLOW(dup),
	ALLOW(fcntl),
	ALLOW(fadvise64),
	ALLOW(poll),
	ALLOW(brk),
	ALLOW(munmap),
	ALLOW(mremap),
	ALLOW(madvise),
	ALLOW(futex),
	ALLOW(set_robust_list),
	ALLOW(rseq),
	ALLOW(sched_getaffinity),
	ALLOW(sched_yield),
	ALLOW(membarrier),
	ALLOW(rt_sigaction),
	ALLOW(rt_sigprocmask),
	ALLOW(rt_sigreturn),
	ALLOW(sigaltstack),
	ALLOW(tgkill),
	ALLOW(restart_syscall),
	ALLOW(nanosleep),
	ALLOW(clock_nanosleep),
	ALLOW(clock_gettime),
	ALLOW(gettimeofday),
	ALLOW(time),
	ALLOW(getpid),
	ALLOW(gettid),
	ALLOW(getuid),
	ALLOW(geteuid),
	ALLOW(getrandom),
	ALLOW(sysinfo),
	ALLOW(uname),
	ALLOW(prlimit64),
	ALLOW(exit),
	ALLOW(exit_group),
	/* Its flags lie in memory, where a filter cannot look; clone does the same. */
	RULE(clone3, VERDICT_MISSING),
};

static const struct rule reader[] = {
	RULE(openat, VERDICT_READ_ONLY),    RULE(mmap, VERDICT_NO_CODE),
	RULE(mprotect, VERDICT_NO_CODE),    RULE(clone, VERDICT_THREAD),
	RULE(ioctl, VERDICT_TERMINAL),	    RULE(prctl, VERDICT_NAME),
	RULE(userfaultfd, VERDICT_MISSING),
};

static const struct rule creates[] = {
	ALLOW(openat),	  ALLOW(pwrite64),	  ALLOW(pwritev),	  ALLOW(ftruncate),
	ALLOW(fallocate), ALLOW(fsync),		  ALLOW(fchmod),	  ALLOW(flock),
	ALLOW(mkdir),	  ALLOW(mkdirat),	  ALLOW(rename),	  ALLOW(renameat),
	ALLOW(signalfd4), ALLOW(mlock),		  ALLOW(memfd_create),	  ALLOW(unlink),
	ALLOW(unlinkat),  ALLOW(copy_file_range), ALLOW(sync_file_range), ALLOW(linkat),
};

static const struct rule asks_kvm[] = {
	RULE(openat, VERDICT_EXISTING),
	RULE(ioctl, VERDICT_KVM),
	/* The leave to use AMX, which decides what KVM says it has. */
	ALLOW(arch_prctl),
};

static const struct rule machine[] = {
	RULE(mmap, VERDICT_CODE_OR_DATA), /* libraries are loaded when they are needed */
	RULE(mprotect, VERDICT_NO_CODE),
	RULE(clone, VERDICT_PROCESS), /* -d goes into the background */
	RULE(ioctl, VERDICT_MACHINE_IOCTL),
	RULE(prctl, VERDICT_NAME),
	/* AF_UNIX: the control socket. */
	RULE(socket, VERDICT_LOCAL),
	RULE(socketpair, VERDICT_LOCAL),
	ALLOW(connect),
	ALLOW(bind),
	ALLOW(listen),
	ALLOW(accept4),
	ALLOW(getsockopt),
	ALLOW(setsockopt),
	ALLOW(getsockname),
	ALLOW(getpeername),
	ALLOW(sendto),
	ALLOW(sendmsg),
	ALLOW(recvfrom),
	ALLOW(recvmsg),
	ALLOW(shutdown),
	ALLOW(epoll_create1),
	ALLOW(epoll_ctl),
	ALLOW(epoll_wait),
	ALLOW(epoll_pwait),
	ALLOW(eventfd2),
	ALLOW(timerfd_create),
	ALLOW(timerfd_settime),
	ALLOW(timerfd_gettime),
	ALLOW(pipe2),
	ALLOW(ppoll),
	ALLOW(userfaultfd),
	ALLOW(mincore),
	ALLOW(munlock),
	ALLOW(dup2),
	ALLOW(dup3),
	ALLOW(chdir),
	ALLOW(chmod),
	ALLOW(umask),
	ALLOW(rmdir),
	ALLOW(readlinkat),
	ALLOW(faccessat),
	ALLOW(statfs),
	ALLOW(fdatasync),
	ALLOW(setsid),
	ALLOW(getppid),
	ALLOW(getgid),
	ALLOW(getegid),
	ALLOW(wait4),
	ALLOW(getrusage),
	ALLOW(arch_prctl),
	/* A pager's background thread lets others go first. */
	ALLOW(sched_setscheduler),
	ALLOW(sched_getscheduler),
	ALLOW(sched_setaffinity),
	ALLOW(setpriority),
	ALLOW(getpriority),
	ALLOW(ioprio_set),
	/* Another program; another process. */
	KILL(execve, execve),
	KILL(ptrace, ptrace),
	KILL(process_vm_readv, process_vm_writev),
	KILL(kcmp, kcmp),
	KILL(pidfd_open, pidfd_open),
	KILL(pidfd_getfd, pidfd_getfd),
	KILL(process_madvise, process_madvise),
	/* Another user, another view of the system. */
	KILL(setuid, setgid),
	KILL(setreuid, capset), /* with those that ask for the same */
	KILL(unshare, unshare),
	KILL(setns, setns),
	KILL(open_tree, fspick),
	KILL(mount_setattr, mount_setattr),
	/* Clock, root, mounts, swap, names, ports, modules: neighbours by number. */
	KILL(adjtimex, quotactl),
	KILL(clock_adjtime, clock_adjtime),
	KILL(modify_ldt, pivot_root),
	KILL(personality, personality),
	/* The kernel itself. */
	KILL(finit_module, finit_module),
	KILL(kexec_load, kexec_load),
	KILL(kexec_file_load, execveat), /* with bpf between them */
	KILL(perf_event_open, perf_event_open),
	KILL(add_key, keyctl),
	KILL(open_by_handle_at, open_by_handle_at),
	KILL(io_uring_setup, io_uring_register),
	/* Is it in front of its terminal? After the ranges above, one of which has it. */
	ALLOW(getpgid),
};

static const struct rule net_user[] = {
	RULE(socket, VERDICT_NETWORK), ALLOW(accept), /* libslirp's way */
};

static const struct rule net_tap[] = {
	RULE(ioctl, VERDICT_TAP_IOCTL),
};

/* Its sockets are made, its files open; new connections only come in. */
static const struct rule serves[] = {
	RULE(openat, VERDICT_EXISTING),
	RULE(mmap, VERDICT_NO_CODE),
	RULE(mprotect, VERDICT_NO_CODE),
	RULE(ioctl, VERDICT_TERMINAL),
	ALLOW(accept4),
	ALLOW(setsockopt),
	ALLOW(sendto),
	ALLOW(sendmsg),
	ALLOW(recvfrom),
	ALLOW(recvmsg),
	ALLOW(epoll_ctl),
	ALLOW(epoll_wait),
	ALLOW(epoll_pwait),
	ALLOW(timerfd_settime),
	/* Its log is begun anew. */
	ALLOW(ftruncate),
	/* Leaving the terminal at first, the runtime folder in the end. */
	ALLOW(dup2),
	ALLOW(chdir),
	ALLOW(unlink),
	ALLOW(rmdir),
};

struct table {
	const struct rule *rules;
	size_t count;
};

#define TABLE(rules)                                                                               \
	{                                                                                          \
		rules, ARRAY_SIZE(rules)                                                           \
	}

/* Later tables overrule earlier ones. */
static const struct plan {
	uint8_t otherwise;
	struct table table[4];
} plans[] = {
	[SANDBOX_READ] = {VERDICT_KILL, {TABLE(common), TABLE(reader)}},
	[SANDBOX_CREATE] = {VERDICT_KILL, {TABLE(common), TABLE(reader), TABLE(creates)}},
	[SANDBOX_ASK] = {VERDICT_KILL, {TABLE(common), TABLE(reader), TABLE(asks_kvm)}},
	[SANDBOX_MACHINE] = {VERDICT_MISSING, {TABLE(common), TABLE(creates), TABLE(machine)}},
	[SANDBOX_SWITCH] = {VERDICT_KILL, {TABLE(common), TABLE(serves)}},
};

/* A library that is not there is an error for whoever needs it, later. */
static void load_libraries(void)
{
	uint8_t digest[DIGEST_SIZE];

	(void)digest_bytes("", 0, digest,
			   NULL); /* OpenSSL reads its configuration when first used */
	(void)lazy_sign(NULL);
	(void)lazy_zstd(NULL);
	(void)lazy_cipher(NULL);
}

static void apply(const struct table *table, uint8_t verdicts[SANDBOX_CALLS])
{
	for (size_t i = 0; i < table->count; i++) {
		const struct rule *rule = &table->rules[i];

		memset(verdicts + rule->first, rule->verdict, rule->last - rule->first + 1u);
	}
}

static void gather(const struct plan *plan, unsigned nets, uint8_t verdicts[SANDBOX_CALLS])
{
	memset(verdicts, plan->otherwise, SANDBOX_CALLS);
	for (const struct table *table = plan->table; table->rules != NULL; table++)
		apply(table, verdicts);
	if ((nets & SANDBOX_NET_USER) != 0)
		apply(&(const struct table)TABLE(net_user), verdicts);
	if ((nets & SANDBOX_NET_TAP) != 0)
		apply(&(const struct table)TABLE(net_tap), verdicts);
}

/* Without SPEC_ALLOW older kernels slow down the whole process, the guest with it, against attacks
 * by code that runs inside it; no code from a file ever does. */
static int install(struct sandbox_filter *filter, struct err *err)
{
	struct sock_fprog program = {(unsigned short)filter->len, filter->code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW,
		    &program) < 0)
		return err_sys(err, errno, "restrict the reader of the file (seccomp)");
	return 0;
}

static int enter(enum sandbox sandbox, unsigned nets, struct err *err)
{
	uint8_t verdicts[SANDBOX_CALLS];
	struct sandbox_filter filter;

	if (!SANDBOX_GUARDS)
		return 0;
	if (sandbox != SANDBOX_MACHINE && sandbox != SANDBOX_SWITCH)
		load_libraries();
	gather(&plans[sandbox], nets, verdicts);
	sandbox_filter_build(&filter, verdicts);
	return install(&filter, err);
}

int sandbox_enter(enum sandbox sandbox, struct err *err)
{
	return enter(sandbox, 0, err);
}

int sandbox_enter_machine(unsigned nets, struct err *err)
{
	return enter(SANDBOX_MACHINE, nets, err);
}
