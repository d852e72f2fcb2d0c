/* The seccomp filters: what they forbid is really forbidden, what verbs need is not. Each case runs
 * in a child, which the filter never leaves. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if_tun.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/frame.h"
#include "base/log_file.h"
#include "base/num.h"
#include "format/crypto/digest.h"
#include "host/landlock.h"
#include "host/sandbox.h"
#include "host/sandbox_filter.h"
#include "vmm/dirty.h"

enum outcome {
	DONE = 0,
	KILLED = 1000, /* by SIGSYS */
	BROKEN,	       /* anything that should not have happened */
};

/* What comes of a call inside a sandbox: DONE, KILLED, or the errno. */
static int inside(enum sandbox sandbox, int (*call)(void))
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		struct err err;
		int ret = sandbox_enter(sandbox, &err);

		_exit(ret < 0 ? 255 : call());
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		return BROKEN;
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGSYS ? KILLED : BROKEN;
	return WEXITSTATUS(status) == 255 ? BROKEN : WEXITSTATUS(status);
}

static int outcome_of(long ret)
{
	return ret < 0 ? errno : DONE;
}

static int call_exec(void)
{
	char *const argv[] = {(char *)"true", NULL};

	return outcome_of(execv("/bin/true", argv));
}

static int call_ptrace(void)
{
	return outcome_of(syscall(SYS_ptrace, 0, 0, 0, 0));
}

static int call_setuid(void)
{
	return outcome_of(setuid(getuid()));
}

static int call_unshare(void)
{
	return outcome_of(unshare(CLONE_NEWUTS));
}

static int call_mount(void)
{
	return outcome_of(syscall(SYS_mount, 0, 0, 0, 0, 0));
}

static int call_bpf(void)
{
	return outcome_of(syscall(SYS_bpf, 0, 0, 0));
}

static int call_io_uring(void)
{
	return outcome_of(syscall(SYS_io_uring_setup, 1, 0));
}

static int call_inet(void)
{
	return outcome_of(socket(AF_INET, SOCK_STREAM, 0));
}

static int call_unix(void)
{
	return outcome_of(socket(AF_UNIX, SOCK_STREAM, 0));
}

static int call_fork(void)
{
	pid_t child = fork();

	if (child == 0)
		_exit(0);
	return outcome_of(child);
}

/* As neither a thread nor fork(3) makes it. */
static int call_other_process(void)
{
	long child = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);

	if (child == 0)
		_exit(0);
	return outcome_of((int)child);
}

static int call_new_user_namespace(void)
{
	long child = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);

	if (child == 0)
		_exit(0);
	return outcome_of(child);
}

static int call_read_file(void)
{
	char byte;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	return fd >= 0 ? outcome_of(pread(fd, &byte, 1, 0)) : errno;
}

static int call_write_file(void)
{
	return outcome_of(open("/dev/null", O_WRONLY));
}

static int call_create_file(void)
{
	return outcome_of(open("/tmp", O_TMPFILE | O_RDWR, 0600));
}

static int call_write_anywhere(void)
{
	return outcome_of(pwrite(-1, "x", 1, 1));
}

static int call_map_code(void)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at != MAP_FAILED ? DONE : errno;
}

static int call_map_writable_code(void)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);

	return at != MAP_FAILED ? DONE : errno;
}

static int call_type_at_terminal(void)
{
	return outcome_of(ioctl(STDIN_FILENO, TIOCSTI, "x"));
}

static void *run_thread(void *arg)
{
	return arg;
}

static int call_thread_and_memory(void)
{
	pthread_t thread;
	void *memory;
	int ret = pthread_create(&thread, NULL, run_thread, NULL);

	if (ret != 0)
		return ret;
	pthread_join(thread, NULL);
	memory = malloc(MIB(8));
	free(memory);
	return memory != NULL ? DONE : ENOMEM;
}

static int call_hash(void)
{
	uint8_t digest[DIGEST_SIZE];

	return digest_bytes("abc", 3, digest, NULL) == 0 && digest[0] == 0xba ? DONE : EIO;
}

static struct log_file small_log = LOG_FILE_CLOSED;

/* Opened before; twice what it may hold. */
static int call_fill_log(void)
{
	static char line[1000];

	for (unsigned i = 0; i < 2 * small_log.max / sizeof(line); i++)
		log_file_write(&small_log, line, sizeof(line));
	return small_log.size > 0 && small_log.size <= small_log.max ? DONE : EIO;
}

static int call_unknown(void)
{
	return outcome_of(syscall(SANDBOX_CALLS + 7));
}

static int call_other_abi(void)
{
	return outcome_of(syscall(SYS_execve | 0x40000000, 0, 0, 0));
}

static const struct {
	int (*call)(void);
	char name[24];
	int read, create, unpack, ask, machine, serve, server;
} cases[] = {
	{call_exec, "execve", KILLED, KILLED, KILLED, KILLED, KILLED, KILLED, KILLED},
	{call_ptrace, "ptrace", KILLED, KILLED, KILLED, KILLED, KILLED, KILLED, KILLED},
	{call_setuid, "setuid", KILLED, KILLED, KILLED, KILLED, KILLED, KILLED, KILLED},
	{call_unshare, "unshare", KILLED, KILLED, KILLED, KILLED, KILLED, KILLED, KILLED},
	{call_mount, "mount", KILLED, KILLED, KILLED, KILLED, KILLED, KILLED, KILLED},
	{call_bpf, "bpf", KILLED, KILLED, KILLED, KILLED, KILLED, KILLED, KILLED},
	{call_io_uring, "io_uring", KILLED, KILLED, KILLED, KILLED, KILLED, KILLED, KILLED},
	{call_inet, "AF_INET", KILLED, KILLED, KILLED, KILLED, EPERM, KILLED, KILLED},
	{call_unix, "AF_UNIX", KILLED, KILLED, KILLED, KILLED, DONE, KILLED, KILLED},
	{call_fork, "fork", EPERM, EPERM, EPERM, EPERM, DONE, KILLED, EPERM},
	{call_new_user_namespace, "namespace", EPERM, EPERM, EPERM, EPERM, EPERM, KILLED, EPERM},
	{call_read_file, "read a file", DONE, DONE, DONE, DONE, DONE, DONE, DONE},
	{call_write_file, "write to a file", EPERM, DONE, EPERM, DONE, DONE, DONE, EPERM},
	{call_create_file, "create a file", EPERM, DONE, EPERM, EPERM, DONE, EPERM, EPERM},
	{call_write_anywhere, "pwrite", KILLED, EBADF, EBADF, KILLED, EBADF, KILLED, KILLED},
	{call_map_code, "map code", EPERM, EPERM, EPERM, EPERM, DONE, EPERM, EPERM},
	{call_map_writable_code, "map writable code", EPERM, EPERM, EPERM, EPERM, EPERM, EPERM,
	 EPERM},
	{call_type_at_terminal, "TIOCSTI", EPERM, EPERM, EPERM, EPERM, EPERM, EPERM, EPERM},
	{call_thread_and_memory, "threads and memory", DONE, DONE, DONE, DONE, DONE, KILLED, DONE},
	{call_hash, "SHA-256", DONE, DONE, DONE, DONE, DONE, DONE, DONE},
	{call_fill_log, "a full log", KILLED, DONE, DONE, KILLED, DONE, DONE, KILLED},
	{call_unknown, "a call of the future", ENOSYS, ENOSYS, ENOSYS, ENOSYS, ENOSYS, ENOSYS,
	 ENOSYS},
	{call_other_abi, "execve by x32", ENOSYS, ENOSYS, ENOSYS, ENOSYS, ENOSYS, ENOSYS, ENOSYS},
};

Test(sandbox, forbids_what_it_should_and_no_more)
{
	char path[64];

	if (!SANDBOX_GUARDS) {
		printf("SKIP: the sanitizer's runtime makes calls of its own\n");
		return;
	}
	snprintf(path, sizeof(path), "/tmp/torpor-test-log.%d", (int)getpid());
	cr_assert(eq(int, log_file_open(&small_log, path, 2 * LOG_FILE_TAIL, 0, NULL), 0));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const int wanted[] = {
			[SANDBOX_READ] = cases[i].read,	      [SANDBOX_CREATE] = cases[i].create,
			[SANDBOX_UNPACK] = cases[i].unpack,   [SANDBOX_ASK] = cases[i].ask,
			[SANDBOX_MACHINE] = cases[i].machine, [SANDBOX_SWITCH] = cases[i].serve,
			[SANDBOX_SERVER] = cases[i].server,
		};

		for (size_t s = 0; s < ARRAY_SIZE(wanted); s++)
			cr_expect(eq(int, inside((enum sandbox)s, cases[i].call), wanted[s]),
				  "%s in sandbox %zu", cases[i].name, s);
	}
	log_file_close(&small_log);
	unlink(path);
}

static int in_machine(unsigned nets, int (*call)(void))
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		struct err err;
		int ret = sandbox_enter_machine(nets, &err);

		_exit(ret < 0 ? 255 : call());
	}
	if (child < 0 || waitpid(child, &status, 0) != child || WIFSIGNALED(status))
		return BROKEN;
	return WEXITSTATUS(status);
}

static int call_inet6(void)
{
	return outcome_of(socket(AF_INET6, SOCK_DGRAM, 0));
}

/* On a descriptor that is no socket. */
static int call_accept(void)
{
	return outcome_of(accept(-1, NULL, NULL));
}

static int call_packet(void)
{
	return outcome_of(socket(AF_PACKET, SOCK_RAW, 0));
}

/* On a descriptor that is no tap: what gets through fails in the kernel. */
static int call_tap(void)
{
	return outcome_of(ioctl(-1, TUNSETIFF, NULL));
}

static int call_tap_persist(void)
{
	return outcome_of(ioctl(-1, TUNSETPERSIST, 1));
}

Test(sandbox, a_machine_has_the_network_it_was_given)
{
	static const struct {
		int (*call)(void);
		char name[16];
		int none, user, tap, both;
	} networks[] = {
		{call_unix, "AF_UNIX", DONE, DONE, DONE, DONE},
		{call_inet, "AF_INET", EPERM, DONE, EPERM, DONE},
		{call_inet6, "AF_INET6", EPERM, DONE, EPERM, DONE},
		{call_accept, "accept", ENOSYS, EBADF, ENOSYS, EBADF},
		{call_packet, "AF_PACKET", EPERM, EPERM, EPERM, EPERM},
		{call_tap, "TUNSETIFF", EPERM, EPERM, EBADF, EBADF},
		{call_tap_persist, "TUNSETPERSIST", EPERM, EPERM, EPERM, EPERM},
	};

	if (!SANDBOX_GUARDS) {
		printf("SKIP: the sanitizer's runtime makes calls of its own\n");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(networks); i++) {
		const int wanted[] = {
			networks[i].none,
			[SANDBOX_NET_USER] = networks[i].user,
			[SANDBOX_NET_TAP] = networks[i].tap,
			[SANDBOX_NET_USER | SANDBOX_NET_TAP] = networks[i].both,
		};

		for (unsigned nets = 0; nets < ARRAY_SIZE(wanted); nets++)
			cr_expect(eq(int, in_machine(nets, networks[i].call), wanted[nets]),
				  "%s with %u", networks[i].name, nets);
	}
}

/* --- a machine: its first step, and its second --- */

static int call_limit_parent(void)
{
	struct rlimit limit;

	return outcome_of(syscall(SYS_prlimit64, getppid(), RLIMIT_CORE, NULL, &limit));
}

static int call_limit_self(void)
{
	struct rlimit limit;

	return outcome_of(getrlimit(RLIMIT_CORE, &limit));
}

static int call_schedule_parent(void)
{
	static const struct sched_param none = {0};

	return outcome_of(syscall(SYS_sched_setscheduler, getppid(), SCHED_OTHER, &none));
}

static int call_schedule_self(void)
{
	static const struct sched_param none = {0};

	return outcome_of(syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &none));
}

static int call_renice_user(void)
{
	return outcome_of(setpriority(PRIO_USER, 0, 1));
}

static int call_renice_parent(void)
{
	return outcome_of(setpriority(PRIO_PROCESS, (id_t)getppid(), 1));
}

/* To the lowest: that takes no right, whatever the tests were started with. */
static int call_renice_self(void)
{
	return outcome_of(setpriority(PRIO_PROCESS, 0, 19));
}

/* Signal 0: may it be sent? */
static int call_signal_parent(void)
{
	return outcome_of(syscall(SYS_tgkill, getppid(), getppid(), 0));
}

static int call_signal_self(void)
{
	return outcome_of(syscall(SYS_tgkill, getpid(), gettid(), 0));
}

static int call_kill_parent(void)
{
	return outcome_of(kill(getppid(), 0));
}

static int call_chdir(void)
{
	return outcome_of(chdir("/"));
}

static int call_filter(void)
{
	return outcome_of(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL));
}

static int call_socketpair(void)
{
	int ends[2];

	return outcome_of(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends));
}

static int call_parents_memory(int flags)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)getppid());
	return outcome_of(open(path, flags | O_CLOEXEC));
}

static int call_read_parents_memory(void)
{
	return call_parents_memory(O_RDONLY);
}

static int call_write_parents_memory(void)
{
	return call_parents_memory(O_RDWR);
}

static int call_mknod(void)
{
	return outcome_of(syscall(SYS_mknodat, AT_FDCWD, "/tmp/torpor-test-node", S_IFREG, 0));
}

/* The one that the test listens at. */
static struct sockaddr_un abstract_address = {.sun_family = AF_UNIX};
static socklen_t abstract_len;

static void name_abstract(void)
{
	int len = snprintf(abstract_address.sun_path + 1, sizeof(abstract_address.sun_path) - 1,
			   "torpor-test-sandbox-%d", (int)getpid());

	abstract_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
}

static int call_abstract(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno;
	return outcome_of(connect(fd, (struct sockaddr *)&abstract_address, abstract_len));
}

static int call_dumpable(void)
{
	int dumpable = sandbox_hide(NULL) == 0 ? prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) : -1;

	return dumpable < 0 ? errno : dumpable;
}

static int call_dumpable_again(void)
{
	return outcome_of(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

/* As a user who is not root: which frames of a mapped file are its own is found all the same. */
static int call_private_frames(void)
{
	uint64_t frames[1] = {0}, len = (uint64_t)FRAME_SIZE * 4;
	uint8_t *memory;

	if (getuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
		return BROKEN;
	/* setuid(2) has taken it. */
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0)
		return BROKEN;
	memory = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return errno;
	(void)madvise(memory, len, MADV_NOHUGEPAGE);
	memory[2 * FRAME_SIZE] = 1;
	dirty_keep_pagemap();
	if (sandbox_hide(NULL) < 0)
		return BROKEN;
	dirty_add_private(frames, memory, len);
	return frames[0] == 1u << 2 ? DONE : (int)frames[0];
}

Test(sandbox, a_hidden_machine_finds_its_frames)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0)
		_exit(call_private_frames());
	cr_assert(eq(int, waitpid(child, &status, 0), child));
	cr_expect(eq(int, status, 0));
}

/* Of root's capabilities none that reaches beyond files, sockets and this process. */
static int call_capabilities(void)
{
	static const int gone[] = {CAP_KILL,	   CAP_SETUID,	   CAP_SETGID,	 CAP_SYS_ADMIN,
				   CAP_SYS_MODULE, CAP_SYS_RAWIO,  CAP_SYS_BOOT, CAP_MKNOD,
				   CAP_NET_ADMIN,  CAP_SYS_CHROOT, CAP_NET_RAW,	 CAP_BPF};
	struct sandbox_layers layers;

	sandbox_layers(&layers);
	for (size_t i = 0; i < ARRAY_SIZE(gone); i++) {
		if ((layers.capable >> gone[i] & 1) != 0)
			return EPERM;
	}
	return DONE;
}

/* What the kernel does not have does not fail the test; what it has is tried. */
static bool landlock_has(int version, const char *what)
{
	if (landlock_version() >= version)
		return true;
	printf("SKIP: %s: Landlock here is version %d, and it needs %d\n", what, landlock_version(),
	       version);
	return false;
}

Test(sandbox, a_machine_reaches_no_other_process)
{
	static const struct {
		int (*call)(void);
		char name[32];
		int wanted;
		int landlock; /* since this version; 0: by the filter */
	} tries[] = {
		{call_limit_parent, "prlimit of another", EPERM, 0},
		{call_limit_self, "prlimit", DONE, 0},
		{call_schedule_parent, "sched_setscheduler of another", EPERM, 0},
		{call_schedule_self, "sched_setscheduler", DONE, 0},
		{call_renice_user, "setpriority of a user", EPERM, 0},
		{call_renice_parent, "setpriority of another", EPERM, 0},
		{call_renice_self, "setpriority", DONE, 0},
		{call_kill_parent, "kill", ENOSYS, 0},
		{call_signal_self, "tgkill", DONE, 0},
		{call_signal_parent, "tgkill of another", EPERM, 6},
		{call_read_parents_memory, "read another's memory", EACCES, 1},
		{call_write_parents_memory, "write another's memory", EACCES, 1},
		{call_abstract, "abstract socket of another", EPERM, 6},
		{call_mknod, "mknod", ENOSYS, 0},
		{call_dumpable, "dumpable", 0, 0},
		{call_dumpable_again, "dumpable again", EPERM, 0},
		{call_capabilities, "capabilities", DONE, 0},
	};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (!SANDBOX_GUARDS) {
		printf("SKIP: the sanitizer's runtime makes calls of its own\n");
		return;
	}
	name_abstract();
	cr_assert(eq(int, bind(listener, (struct sockaddr *)&abstract_address, abstract_len), 0));
	cr_assert(eq(int, listen(listener, 8), 0));
	for (size_t i = 0; i < ARRAY_SIZE(tries); i++) {
		if (!landlock_has(tries[i].landlock, tries[i].name))
			continue;
		cr_expect(eq(int, in_machine(0, tries[i].call), tries[i].wanted), "%s",
			  tries[i].name);
	}
	close(listener);
}

static int confined(unsigned nets, int (*call)(void))
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		struct err err;

		if (sandbox_enter_machine(nets, &err) < 0 || sandbox_confine(nets, &err) < 0)
			_exit(255);
		_exit(call());
	}
	if (child < 0 || waitpid(child, &status, 0) != child || WIFSIGNALED(status))
		return BROKEN;
	return WEXITSTATUS(status);
}

Test(sandbox, a_running_machine_keeps_what_it_uses)
{
	static const struct {
		int (*call)(void);
		char name[24];
		int none, user, lan, both;
	} tries[] = {
		{call_signal_parent, "tgkill of another", EPERM, EPERM, EPERM, EPERM},
		{call_signal_self, "tgkill", DONE, DONE, DONE, DONE},
		{call_fork, "fork", DONE, DONE, DONE, DONE},
		{call_other_process, "another process", EPERM, EPERM, EPERM, EPERM},
		{call_new_user_namespace, "namespace", EPERM, EPERM, EPERM, EPERM},
		{call_thread_and_memory, "threads and memory", DONE, DONE, DONE, DONE},
		{call_chdir, "chdir", ENOSYS, ENOSYS, ENOSYS, ENOSYS},
		{call_filter, "another filter", ENOSYS, ENOSYS, ENOSYS, ENOSYS},
		{call_socketpair, "socketpair", ENOSYS, ENOSYS, ENOSYS, ENOSYS},
		{call_unix, "AF_UNIX", ENOSYS, EPERM, DONE, DONE},
		{call_inet, "AF_INET", ENOSYS, DONE, EPERM, DONE},
		{call_inet6, "AF_INET6", ENOSYS, DONE, EPERM, DONE},
		{call_create_file, "create a file", DONE, DONE, DONE, DONE},
	};

	if (!SANDBOX_GUARDS) {
		printf("SKIP: the sanitizer's runtime makes calls of its own\n");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(tries); i++) {
		cr_expect(eq(int, confined(0, tries[i].call), tries[i].none), "%s without a net",
			  tries[i].name);
		cr_expect(eq(int, confined(SANDBOX_NET_USER, tries[i].call), tries[i].user),
			  "%s with user", tries[i].name);
		cr_expect(eq(int, confined(SANDBOX_NET_LAN, tries[i].call), tries[i].lan),
			  "%s with lan", tries[i].name);
		cr_expect(eq(int, confined(SANDBOX_NET_USER | SANDBOX_NET_LAN, tries[i].call),
			     tries[i].both),
			  "%s with both", tries[i].name);
	}
}

static int call_tap_offload(void)
{
	return outcome_of(ioctl(-1, TUNSETOFFLOAD, 0));
}

/* The guest's driver says only then what it takes. */
Test(sandbox, a_running_machine_sets_the_offloads_of_its_tap_and_no_more)
{
	if (!SANDBOX_GUARDS) {
		printf("SKIP: the sanitizer's runtime makes calls of its own\n");
		return;
	}
	cr_expect(eq(int, confined(SANDBOX_NET_TAP, call_tap_offload), EBADF));
	cr_expect(eq(int, confined(SANDBOX_NET_TAP, call_tap), EPERM));
	cr_expect(eq(int, confined(SANDBOX_NET_USER, call_tap_offload), EPERM));
}

static int confined_wait[2], confined_outcome;

static void *fork_when_told(void *arg)
{
	char byte;

	confined_outcome = read(confined_wait[0], &byte, 1) == 1 ? call_signal_parent() : BROKEN;
	return arg;
}

/* vCPUs and the pager run before the second step is taken. */
static int call_from_older_thread(void)
{
	struct err err;
	pthread_t thread;

	if (pthread_create(&thread, NULL, fork_when_told, NULL) != 0 ||
	    sandbox_confine(0, &err) < 0 || write(confined_wait[1], "x", 1) != 1)
		return BROKEN;
	pthread_join(thread, NULL);
	return confined_outcome;
}

Test(sandbox, threads_that_run_already_are_confined_too)
{
	if (!SANDBOX_GUARDS) {
		printf("SKIP: the sanitizer's runtime makes calls of its own\n");
		return;
	}
	cr_assert(eq(int, pipe(confined_wait), 0));
	/* Not sandbox_enter_machine(): there Landlock forbids it. */
	cr_expect(eq(int, inside(SANDBOX_MACHINE, call_from_older_thread), EPERM));
}

/* The filter as the kernel reads it: run over every call there could be. */
static uint32_t judge(const struct sandbox_filter *filter, const struct seccomp_data *data)
{
	uint32_t a = 0;

	for (unsigned at = 0;; at++) {
		const struct sock_filter *code = &filter->code[at];

		cr_assert(lt(uint, at, filter->len));
		switch (code->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			a = le_get32((const char *)data + code->k);
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= code->k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			at += a == code->k ? code->jt : code->jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			at += a >= code->k ? code->jt : code->jf;
			break;
		case BPF_JMP | BPF_JA:
			at += code->k;
			break;
		case BPF_RET | BPF_K:
			return code->k;
		default:
			cr_fatal("instruction %#x", code->code);
		}
	}
}

Test(sandbox, every_call_gets_its_verdict)
{
	static const uint32_t action[] = {
		[VERDICT_KILL] = SECCOMP_RET_KILL_PROCESS,
		[VERDICT_MISSING] = SECCOMP_RET_ERRNO | ENOSYS,
		[VERDICT_ALLOW] = SECCOMP_RET_ALLOW,
		[VERDICT_LOCAL] = SECCOMP_RET_ERRNO | EPERM,
	};
	uint8_t verdicts[SANDBOX_CALLS];
	struct sandbox_filter filter;
	struct seccomp_data data = {.arch = 0xc000003e};

	/* Many small spans, of every kind. */
	for (unsigned i = 0; i < SANDBOX_CALLS; i++)
		verdicts[i] = i < 400 ? i % 3 : VERDICT_MISSING;
	verdicts[450] = VERDICT_LOCAL;
	sandbox_filter_build(&filter, verdicts, 4711);
	for (unsigned i = 0; i < SANDBOX_CALLS; i++) {
		data.nr = (int)i;
		cr_assert(eq(u32, judge(&filter, &data), action[verdicts[i]]), "call %u", i);
	}
	data.nr = 450;
	data.args[0] = AF_UNIX;
	cr_assert(eq(u32, judge(&filter, &data), SECCOMP_RET_ALLOW));
	data.nr = (int)(0x40000000u | SYS_read);
	cr_assert(eq(u32, judge(&filter, &data), SECCOMP_RET_ERRNO | ENOSYS));
	data.nr = SYS_read;
	data.arch = 0x40000003; /* i386 */
	cr_assert(eq(u32, judge(&filter, &data), SECCOMP_RET_KILL_PROCESS));
}
