/*
 * See sandbox.h. The tables say which calls; sandbox_filter.c makes a filter of them.
 *
 * Readers are killed for what is not in their tables. A machine may hold hours of work: a call that
 * is merely not foreseen (in a library's new version, say) fails as if the kernel did not have it.
 * Only calls that nothing but an attack explains kill it.
 */
#include "host/sandbox.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "format/crypto/digest.h"
#include "format/crypto/lazy.h"
#include "host/landlock.h"
#include "host/sandbox_calls.h"
#include "host/sandbox_filter.h"

struct rule {
	uint16_t call;
	uint8_t verdict;
};

/* clang-format off */
#define RULE(call, verdict) {SYS_##call, verdict}
#define ALLOW(call)         RULE(call, VERDICT_ALLOW)
#define KILL(call)          RULE(call, VERDICT_KILL)
/* clang-format on */

/* Everybody: open files, memory, threads, the time, the end. */
static const struct rule common[] = {
	ALLOW(read),
	ALLOW(readv),
	ALLOW(pread64),
	ALLOW(preadv),
	ALLOW(preadv2),
	ALLOW(write),
	ALLOW(writev),
	ALLOW(pwritev2),
	ALLOW(lseek),
	ALLOW(close),
	ALLOW(fstat),
	ALLOW(newfstatat),
	ALLOW(statx),
	ALLOW(fstatfs),
	ALLOW(access),
	ALLOW(faccessat),
	ALLOW(readlink),
	ALLOW(readlinkat),
	ALLOW(getdents64),
	ALLOW(getcwd),
	ALLOW(dup),
	ALLOW(fcntl),
	ALLOW(fadvise64),
	ALLOW(poll),
	ALLOW(ppoll),
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
	RULE(tgkill, VERDICT_OWN_THREAD),
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
	RULE(prlimit64, VERDICT_THIS_PROCESS),
	ALLOW(exit),
	ALLOW(exit_group),
	/* Its flags lie in memory, where a filter cannot look; clone does the same. */
	RULE(clone3, VERDICT_MISSING),
};

static const struct rule reader[] = {
	RULE(openat, VERDICT_READ_ONLY),    RULE(mmap, VERDICT_NO_CODE),
	RULE(mprotect, VERDICT_NO_CODE),    RULE(clone, VERDICT_THREAD),
	RULE(ioctl, VERDICT_TERMINAL),	    RULE(prctl, VERDICT_NAME),
	RULE(userfaultfd, VERDICT_MISSING), ALLOW(flock),
};

static const struct rule creates[] = {
	ALLOW(openat),	  ALLOW(pwrite64),	  ALLOW(pwritev),	  ALLOW(ftruncate),
	ALLOW(fallocate), ALLOW(fsync),		  ALLOW(fchmod),	  ALLOW(flock),
	ALLOW(mkdir),	  ALLOW(mkdirat),	  ALLOW(rename),	  ALLOW(renameat),
	ALLOW(signalfd4), ALLOW(mlock),		  ALLOW(memfd_create),	  ALLOW(unlink),
	ALLOW(unlinkat),  ALLOW(copy_file_range), ALLOW(sync_file_range), ALLOW(linkat),
	ALLOW(symlinkat), ALLOW(getgid),
};

static const struct rule unpacks[] = {
	ALLOW(pwrite64),   ALLOW(ftruncate), ALLOW(fallocate),
	ALLOW(flistxattr), ALLOW(fgetxattr), ALLOW(getegid),
};

static const struct rule asks_kvm[] = {
	RULE(openat, VERDICT_EXISTING),
	RULE(ioctl, VERDICT_KVM),
	/* Permission to use AMX: without it KVM does not report AMX. */
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
	ALLOW(userfaultfd),
	ALLOW(mincore),
	ALLOW(munlock),
	ALLOW(dup2),
	ALLOW(dup3),
	ALLOW(chdir),
	ALLOW(chmod),
	ALLOW(fchmodat),
	ALLOW(umask),
	ALLOW(rmdir),
	ALLOW(statfs),
	ALLOW(fdatasync),
	ALLOW(setsid),
	ALLOW(getppid),
	ALLOW(getgid),
	ALLOW(getegid),
	ALLOW(wait4),
	ALLOW(getrusage),
	ALLOW(arch_prctl),
	ALLOW(getpgid), /* is it the terminal's foreground process group? */
	ALLOW(seccomp), /* for sandbox_confine() */
	/* For sandbox_restrict(). */
	ALLOW(landlock_create_ruleset),
	ALLOW(landlock_add_rule),
	ALLOW(landlock_restrict_self),
	/* A pager's background thread lets others go first. */
	RULE(sched_setscheduler, VERDICT_THIS_PROCESS),
	RULE(setpriority, VERDICT_THIS_PRIORITY),
	/* The process may fork once more (-d): sandbox_confine() allows its own threads only. */
	ALLOW(tgkill),
};

/* What nothing but an attack explains. */
static const struct rule hostile[] = {
	/* Another program; another process. */
	KILL(execve),
	KILL(execveat),
	KILL(ptrace),
	KILL(process_vm_readv),
	KILL(process_vm_writev),
	KILL(kcmp),
	RULE(pidfd_open, VERDICT_MISSING), /* receive asks; what could be done with one is below */
	KILL(pidfd_getfd),
	KILL(pidfd_send_signal),
	KILL(process_madvise),
	/* Another user, another view of the system. */
	KILL(setuid),
	KILL(setgid),
	KILL(setreuid),
	KILL(setregid),
	KILL(setgroups),
	KILL(setresuid),
	KILL(setresgid),
	KILL(setfsuid),
	KILL(setfsgid),
	KILL(capset),
	KILL(unshare),
	KILL(setns),
	KILL(chroot),
	KILL(pivot_root),
	KILL(mount),
	KILL(umount2),
	KILL(open_tree),
	KILL(move_mount),
	KILL(fsopen),
	KILL(fsconfig),
	KILL(fsmount),
	KILL(fspick),
	KILL(mount_setattr),
	KILL(personality),
	/* The system's clock, names, swap, accounts and ports. */
	KILL(adjtimex),
	KILL(clock_adjtime),
	KILL(clock_settime),
	KILL(settimeofday),
	KILL(sethostname),
	KILL(setdomainname),
	KILL(swapon),
	KILL(swapoff),
	KILL(acct),
	KILL(quotactl),
	KILL(reboot),
	KILL(iopl),
	KILL(ioperm),
	KILL(modify_ldt),
	/* The kernel itself. */
	KILL(init_module),
	KILL(finit_module),
	KILL(delete_module),
	KILL(kexec_load),
	KILL(kexec_file_load),
	KILL(bpf),
	KILL(perf_event_open),
	KILL(add_key),
	KILL(request_key),
	KILL(keyctl),
	KILL(open_by_handle_at),
	KILL(io_uring_setup),
	KILL(io_uring_enter),
	KILL(io_uring_register),
};

static const struct rule downloads[] = {
	RULE(mmap, VERDICT_CODE_OR_DATA), /* libraries that find hosts are loaded late */
	RULE(mprotect, VERDICT_NO_CODE),
	RULE(clone, VERDICT_THREAD),
	RULE(ioctl, VERDICT_TERMINAL),
	RULE(prctl, VERDICT_NAME),
	RULE(socket, VERDICT_NETWORK),
	RULE(socketpair, VERDICT_LOCAL),
	ALLOW(connect),
	ALLOW(bind), /* of UDP, to ask name servers */
	ALLOW(getsockopt),
	ALLOW(setsockopt),
	ALLOW(getsockname),
	ALLOW(getpeername),
	ALLOW(sendto),
	ALLOW(sendmsg),
	ALLOW(sendmmsg),
	ALLOW(recvfrom),
	ALLOW(recvmsg),
	ALLOW(shutdown),
	ALLOW(pipe2),
	ALLOW(eventfd2),
	ALLOW(statfs),
	ALLOW(umask),
	ALLOW(getgid),
	ALLOW(getegid),
};

static const struct rule net_user[] = {
	RULE(socket, VERDICT_NETWORK), ALLOW(accept), /* libslirp's way */
};

static const struct rule net_tap[] = {
	RULE(ioctl, VERDICT_TAP_IOCTL),
};

/* Once the guest runs. What is not listed stays as the first filter has it: the kernel takes the
 * stricter of both. */
static const struct rule running[] = {
	RULE(tgkill, VERDICT_OWN_THREAD),
	/* The copy that writes a save, and waiting for its end. */
	RULE(clone, VERDICT_COPY),
	RULE(ioctl, VERDICT_MACHINE_IOCTL),
	RULE(socketpair, VERDICT_MISSING),
	RULE(setsid, VERDICT_MISSING),
	RULE(chdir, VERDICT_MISSING),
	RULE(umask, VERDICT_MISSING),
	RULE(arch_prctl, VERDICT_MISSING),
	RULE(userfaultfd, VERDICT_MISSING),
	RULE(seccomp, VERDICT_MISSING),
	RULE(landlock_create_ruleset, VERDICT_MISSING),
	RULE(landlock_add_rule, VERDICT_MISSING),
	RULE(landlock_restrict_self, VERDICT_MISSING),
};

/* The guest's driver negotiates offloads once it runs, and again after each reset. */
static const struct rule running_tap[] = {
	RULE(ioctl, VERDICT_OFFLOAD_IOCTL),
};

/* Sockets that are open already go on to listen and accept. */
static const struct rule running_no_net[] = {
	RULE(socket, VERDICT_MISSING),
	RULE(connect, VERDICT_MISSING),
	RULE(bind, VERDICT_MISSING),
	RULE(listen, VERDICT_MISSING),
};

static const struct rule running_user[] = {
	RULE(socket, VERDICT_INTERNET),
};

static const struct rule running_lan[] = {
	RULE(socket, VERDICT_LOCAL),
	RULE(bind, VERDICT_MISSING),
	RULE(listen, VERDICT_MISSING),
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
	ALLOW(dup3),
	ALLOW(chdir),
	ALLOW(unlink),
	ALLOW(unlinkat),
	ALLOW(rmdir),
};

/* libmicrohttpd's threads are made in it. */
static const struct rule answers[] = {
	ALLOW(accept4),	    ALLOW(sendto),	ALLOW(sendmsg),	      ALLOW(recvfrom),
	ALLOW(sendfile),    ALLOW(getsockopt),	ALLOW(setsockopt),    ALLOW(getsockname),
	ALLOW(getpeername), ALLOW(shutdown),	ALLOW(epoll_create1), ALLOW(epoll_ctl),
	ALLOW(epoll_wait),  ALLOW(epoll_pwait), ALLOW(eventfd2),      ALLOW(pipe2),
};

/* All is asked for by descriptors and names below them; what they lead to is for Landlock to say. */
static const struct rule serves_folder[] = {
	ALLOW(openat),
	ALLOW(openat2),
	ALLOW(pwrite64),
	ALLOW(ftruncate),
	ALLOW(fallocate),
	ALLOW(fsync),
	ALLOW(fdatasync),
	ALLOW(syncfs),
	ALLOW(mkdirat),
	ALLOW(mknodat),
	ALLOW(symlinkat),
	ALLOW(linkat),
	ALLOW(unlinkat),
	ALLOW(renameat), /* glibc's renameat2() without flags */
	ALLOW(renameat2),
	ALLOW(fchmodat),
	ALLOW(fchownat),
	ALLOW(utimensat),
	RULE(mmap, VERDICT_NO_CODE),
	RULE(mprotect, VERDICT_NO_CODE),
};

/* A folder is opened for its name alone, where a socket's path is too long for an address; Landlock lets
 * nothing be read. */
static const struct rule dials[] = {
	RULE(openat, VERDICT_READ_ONLY),
	RULE(socket, VERDICT_LOCAL),
	ALLOW(connect),
	ALLOW(getsockopt),
	ALLOW(sendmsg),
	ALLOW(unlink),
	RULE(mmap, VERDICT_NO_CODE),
	RULE(mprotect, VERDICT_NO_CODE),
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
	struct table table[5];
} plans[] = {
	[SANDBOX_READ] = {VERDICT_KILL, {TABLE(common), TABLE(reader)}},
	[SANDBOX_CREATE] = {VERDICT_KILL, {TABLE(common), TABLE(reader), TABLE(creates)}},
	[SANDBOX_UNPACK] = {VERDICT_KILL, {TABLE(common), TABLE(reader), TABLE(unpacks)}},
	[SANDBOX_ASK] = {VERDICT_KILL, {TABLE(common), TABLE(reader), TABLE(asks_kvm)}},
	[SANDBOX_MACHINE] = {VERDICT_MISSING,
			     {TABLE(common), TABLE(creates), TABLE(machine), TABLE(hostile)}},
	[SANDBOX_SWITCH] = {VERDICT_KILL, {TABLE(common), TABLE(serves)}},
	[SANDBOX_DOWNLOAD] = {VERDICT_MISSING,
			      {TABLE(common), TABLE(creates), TABLE(downloads), TABLE(hostile)}},
	[SANDBOX_SERVER] = {VERDICT_KILL, {TABLE(common), TABLE(reader), TABLE(answers)}},
	[SANDBOX_FOLDER] = {VERDICT_MISSING, {TABLE(common), TABLE(serves_folder), TABLE(hostile)}},
	[SANDBOX_DIALER] = {VERDICT_MISSING, {TABLE(common), TABLE(dials), TABLE(hostile)}},
};

/* A library that is not there is an error of the call that needs it, later. */
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

		if (rule->call != NO_CALL)
			verdicts[rule->call] = rule->verdict;
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
static int install(struct sandbox_filter *filter, unsigned flags, struct err *err)
{
	struct sock_fprog program = {(unsigned short)filter->len, filter->code};
	long ret = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			   SECCOMP_FILTER_FLAG_SPEC_ALLOW | flags, &program);

	/* Positive: a thread that has other filters. */
	if (ret != 0)
		return err_sys(err, ret < 0 ? errno : EBUSY,
			       "restrict the reader of the file (seccomp)");
	return 0;
}

static int enter(enum sandbox sandbox, unsigned nets, struct err *err)
{
	uint8_t verdicts[SANDBOX_CALLS];
	struct sandbox_filter filter;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(err, errno, "restrict the reader of the file (no_new_privs)");
	if (sandbox != SANDBOX_MACHINE && sandbox != SANDBOX_SWITCH &&
	    sandbox != SANDBOX_DOWNLOAD && sandbox != SANDBOX_FOLDER && sandbox != SANDBOX_DIALER)
		load_libraries();
	gather(&plans[sandbox], nets, verdicts);
	sandbox_filter_build(&filter, verdicts, getpid());
	return install(&filter, 0, err);
}

int sandbox_enter(enum sandbox sandbox, struct err *err)
{
	return SANDBOX_GUARDS ? enter(sandbox, 0, err) : 0;
}

/* Root without what a machine has a use for: files of other users as its user names them, memory
 * that is locked, ports below 1024, userfaultfd and taps where they are privileged. */
#define BIT(cap) (UINT64_C(1) << (cap))
#define KEPT                                                                                       \
	(BIT(CAP_DAC_OVERRIDE) | BIT(CAP_DAC_READ_SEARCH) | BIT(CAP_FOWNER) | BIT(CAP_IPC_LOCK) |  \
	 BIT(CAP_SYS_PTRACE))

static int keep_capabilities(uint64_t kept, struct err *err)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data) < 0)
		return err_sys(err, errno, "capget");
	for (unsigned i = 0; i < 2; i++) {
		data[i].permitted &= (uint32_t)(kept >> (32 * i));
		data[i].effective &= data[i].permitted;
		data[i].inheritable = 0;
	}
	return syscall(SYS_capset, &header, data) < 0 ? err_sys(err, errno, "capset") : 0;
}

static int drop_capabilities(unsigned nets, struct err *err)
{
	uint64_t kept = KEPT;

	if ((nets & SANDBOX_NET_USER) != 0)
		kept |= BIT(CAP_NET_BIND_SERVICE);
	if ((nets & SANDBOX_NET_TAP) != 0)
		kept |= BIT(CAP_NET_ADMIN);
	return keep_capabilities(kept, err);
}

int sandbox_enter_machine(unsigned nets, struct err *err)
{
	int ret;

	if (!SANDBOX_GUARDS)
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(err, errno, "restrict the reader of the file (no_new_privs)");
	ret = drop_capabilities(nets, err);
	if (ret < 0)
		return ret;
	ret = landlock_enter(err);
	return ret < 0 ? ret : enter(SANDBOX_MACHINE, nets, err);
}

int sandbox_enter_download(const char *store, const char *ca_file, struct err *err)
{
	int ret;

	if (!SANDBOX_GUARDS)
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(err, errno, "restrict the download (no_new_privs)");
	ret = drop_capabilities(0, err);
	if (ret < 0)
		return ret;
	ret = sandbox_restrict_download(store, ca_file, err);
	return ret < 0 ? ret : enter(SANDBOX_DOWNLOAD, 0, err);
}

int sandbox_enter_server(const char *const *folder, size_t nfolders, struct err *err)
{
	int ret;

	if (!SANDBOX_GUARDS)
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(err, errno, "restrict the server (no_new_privs)");
	/* They are loaded by path. */
	load_libraries();
	ret = keep_capabilities(BIT(CAP_DAC_READ_SEARCH), err);
	if (ret < 0)
		return ret;
	ret = landlock_enter(err);
	if (ret < 0)
		return ret;
	ret = sandbox_restrict_server(folder, nfolders, err);
	return ret < 0 ? ret : enter(SANDBOX_SERVER, 0, err);
}

int sandbox_enter_folder(int folder, bool readonly, struct err *err)
{
	int ret;

	if (!SANDBOX_GUARDS)
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(err, errno, "restrict the server of a folder (no_new_privs)");
	ret = keep_capabilities(0, err);
	if (ret < 0)
		return ret;
	ret = sandbox_restrict_folder(folder, readonly, err);
	return ret < 0 ? ret : enter(SANDBOX_FOLDER, 0, err);
}

int sandbox_enter_dialer(const char *folder, struct err *err)
{
	int ret;

	if (!SANDBOX_GUARDS)
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(err, errno, "restrict what connects to sockets (no_new_privs)");
	ret = keep_capabilities(0, err);
	if (ret < 0)
		return ret;
	ret = sandbox_restrict_dialer(folder, err);
	return ret < 0 ? ret : enter(SANDBOX_DIALER, 0, err);
}

int sandbox_hide(struct err *err)
{
	if (SANDBOX_GUARDS && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_sys(err, errno, "hide the machine's memory (prctl)");
	return 0;
}

int sandbox_confine(unsigned nets, struct err *err)
{
	uint8_t verdicts[SANDBOX_CALLS];
	struct sandbox_filter filter;

	if (!SANDBOX_GUARDS)
		return 0;
	memset(verdicts, VERDICT_ALLOW, sizeof(verdicts));
	apply(&(const struct table)TABLE(running), verdicts);
	if ((nets & SANDBOX_NET_TAP) != 0)
		apply(&(const struct table)TABLE(running_tap), verdicts);
	switch (nets & (SANDBOX_NET_USER | SANDBOX_NET_LAN)) {
	case 0:
		apply(&(const struct table)TABLE(running_no_net), verdicts);
		break;
	case SANDBOX_NET_USER:
		apply(&(const struct table)TABLE(running_user), verdicts);
		break;
	case SANDBOX_NET_LAN:
		apply(&(const struct table)TABLE(running_lan), verdicts);
		break;
	default: /* both: as the first filter has it */
		break;
	}
	sandbox_filter_build(&filter, verdicts, getpid());
	return install(&filter, SECCOMP_FILTER_FLAG_TSYNC, err);
}

void sandbox_layers(struct sandbox_layers *layers)
{
	cleanup_file FILE *file = fopen("/proc/thread-self/status", "re");
	unsigned long long capable;
	char line[256];

	*layers = (struct sandbox_layers){
		.landlock = landlock_entered(),
		.files = sandbox_files_restricted(),
		.dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0,
	};
	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		(void)sscanf(line, "Seccomp_filters: %u", &layers->filters);
		if (sscanf(line, "CapEff: %llx", &capable) == 1)
			layers->capable = capable;
	}
}
