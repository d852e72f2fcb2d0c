/* Process 1. See init.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "guest/helper/account.h"
#include "guest/helper/execute.h"
#include "guest/init/init.h"
#include "guest/init_config.h"

#define ROOT_WAIT_MS   10000
#define LEASE_WAIT_MS  3000u
#define AGENT_AGAIN_MS 300u
#define DYING_MS       5000
#define NO_BOOT	       125 /* the status when the application was not even tried */
#define FILES_SOFT     1024u
#define FILES_HARD     524288u

static struct init_config config;
static char config_text[INIT_CONFIG_MAX + 1];
static long application, agent;

static long mount_fs(const char *what, const char *where, const char *type, unsigned long flags,
		     const char *options)
{
	return SYS5(SYS_mount, what, where, type, flags, options);
}

/* --- the end --- */

static void kill_all(void)
{
	int64_t end = monotonic_ms() + DYING_MS;
	long ret;

	SYS2(SYS_kill, -1, SIGKILL);
	while ((ret = SYS4(SYS_wait4, -1, NULL, WNOHANG, NULL)) >= 0 && monotonic_ms() < end) {
		if (ret == 0)
			sleep_ms(5);
	}
}

static _Noreturn void power_off(int status)
{
	kill_all();
	port_tell_status(status);
	SYS0(SYS_sync);
	(void)mount_fs(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
	SYS4(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_POWER_OFF, 0);
	for (;;)
		sleep_ms(1000);
}

static _Noreturn void give_up(const char *what, const char *which, long error)
{
	say(what, which, error);
	power_off(NO_BOOT);
}

/* --- to a root file system --- */

static void load_module(const char *path)
{
	long fd = SYS4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	long ret = fd < 0 ? fd : SYS3(SYS_finit_module, fd, "", 0);

	/* A driver may find that its device is not there. */
	if (ret < 0 && ret != -EEXIST && ret != -ENODEV)
		say("cannot load ", path, ret);
	if (fd >= 0)
		SYS1(SYS_close, fd);
	SYS3(SYS_unlinkat, AT_FDCWD, path, 0);
}

/* The device behind /dev/console, which can be a controlling terminal as /dev/console cannot. Its
 * driver may be a module. */
static void open_console(void)
{
	char names[256];
	struct text path = {.len = 0};
	char *rest = names, *name, *last = NULL;
	long fd = -1;

	if (file_read("/sys/class/tty/console/active", names, sizeof(names)) > 0) {
		names[text_len(names) - 1] = '\0';
		while ((name = text_field(&rest, ' ')) != NULL)
			last = name;
		text_add(&path, "/dev/");
		text_add(&path, last);
		fd = SYS4(SYS_openat, AT_FDCWD, path.data, O_RDWR | O_NOCTTY, 0);
	}
	if (fd < 0)
		fd = SYS4(SYS_openat, AT_FDCWD, "/dev/console", O_RDWR | O_NOCTTY, 0);
	if (fd < 0)
		return;
	for (int i = 0; i < 3; i++) {
		if (fd != i)
			SYS3(SYS_dup3, fd, i, 0);
	}
	if (fd > 2)
		SYS1(SYS_close, fd);
}

static void begin(void)
{
	long len;

	SYS1(SYS_umask, 0);
	(void)make_folders("/dev", 0755);
	(void)make_folders("/proc", 0755);
	(void)make_folders("/sys", 0755);
	(void)make_folders("/root", 0755);
	(void)mount_fs("dev", "/dev", "devtmpfs", MS_NOSUID, NULL);
	(void)mount_fs("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	(void)mount_fs("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	len = file_read(INIT_CONFIG_PATH, config_text, sizeof(config_text));
	if (len < 0)
		give_up("cannot read ", INIT_CONFIG_PATH, len);
	config_parse(&config, config_text, (size_t)len);
	for (unsigned i = 0; i < config.nmodules; i++)
		load_module(config.modules[i]);
	open_console();
}

static void mount_root(void)
{
	int64_t end = monotonic_ms() + ROOT_WAIT_MS;
	long ret;

	if (config.root == NULL || config.root_type == NULL)
		give_up("no root file system is named", "", 0);
	while ((ret = mount_fs(config.root, "/root", config.root_type, MS_NOATIME, NULL)) ==
		       -ENOENT &&
	       monotonic_ms() < end)
		sleep_ms(20);
	if (ret < 0)
		give_up("cannot mount ", config.root, ret);
}

/* Into the root file system, which gets the kernel's own. */
static void switch_root(void)
{
	static const char *const moved[] = {"/dev", "/proc", "/sys"};
	long ret;

	SYS3(SYS_unlinkat, AT_FDCWD, INIT_CONFIG_PATH, 0);
	SYS3(SYS_unlinkat, AT_FDCWD, "/init", 0);
	for (size_t i = 0; i < sizeof(moved) / sizeof(moved[0]); i++) {
		struct text path = {.len = 0};

		text_add(&path, "/root");
		text_add(&path, moved[i]);
		(void)make_folders(path.data, 0755);
		ret = mount_fs(moved[i], path.data, NULL, MS_MOVE, NULL);
		if (ret < 0)
			give_up("cannot move ", moved[i], ret);
	}
	SYS1(SYS_chdir, "/root");
	ret = mount_fs(".", "/", NULL, MS_MOVE, NULL);
	if (ret == 0)
		ret = SYS1(SYS_chroot, ".");
	if (ret < 0)
		give_up("cannot enter the root file system", "", ret);
	SYS1(SYS_chdir, "/");
}

/* --- what an application expects --- */

static void link_to(const char *target, const char *path)
{
	SYS3(SYS_symlinkat, target, AT_FDCWD, path);
}

/* An init of the image's own mounts these itself. */
static void mount_others(void)
{
	static const struct {
		const char *what, *where, *options;
		unsigned long flags;
	} mounts[] = {
		{"devpts", "/dev/pts", "gid=5,mode=620,ptmxmode=666", MS_NOSUID | MS_NOEXEC},
		{"tmpfs", "/dev/shm", "mode=1777", MS_NOSUID | MS_NODEV},
		{"mqueue", "/dev/mqueue", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
		{"cgroup2", "/sys/fs/cgroup", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
	};

	for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		(void)make_folders(mounts[i].where, 0755);
		(void)mount_fs(mounts[i].what, mounts[i].where, mounts[i].what, mounts[i].flags,
			       mounts[i].options);
	}
	link_to("/proc/self/fd", "/dev/fd");
	link_to("/proc/self/fd/0", "/dev/stdin");
	link_to("/proc/self/fd/1", "/dev/stdout");
	link_to("/proc/self/fd/2", "/dev/stderr");
}

/* A `hostname=` of the kernel's command line is there already. */
static void set_hostname(void)
{
	struct text hosts = {.len = 0};
	char name[66], byte[2];
	long len = file_read("/proc/sys/kernel/hostname", name, sizeof(name));

	if (len <= 0)
		return;
	name[len - 1] = '\0';
	if (text_equal(name, "(none)") && config.hostname != NULL) {
		SYS2(SYS_sethostname, config.hostname, text_len(config.hostname));
		text_copy(name, sizeof(name), config.hostname);
	}
	/* Images come with an empty file for the engine to fill. */
	if (file_read("/etc/hosts", byte, sizeof(byte)) > 0)
		return;
	text_add(&hosts, "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"
			 "127.0.1.1 ");
	text_add(&hosts, name);
	text_add(&hosts, "\n");
	(void)make_folders("/etc", 0755);
	(void)file_write("/etc/hosts", hosts.data, hosts.len);
}

static bool exists(const char *path)
{
	return SYS3(SYS_faccessat, AT_FDCWD, path, 1 /* X_OK */) == 0;
}

/* A root file system that comes without a word on what to run has an init, or is looked at. An init
 * of the image's own becomes process 1. */
static void choose_command(void)
{
	static const char *const inits[] = {"/sbin/init", "/usr/sbin/init", "/lib/systemd/systemd",
					    "/usr/lib/systemd/systemd"};
	static char init[] = "/sbin/init", shell[] = "/bin/sh";

	if (config.nargs == 0 && (exists(init) || exists(shell)))
		config.argv[config.nargs++] = exists(init) ? init : shell;
	for (size_t i = 0; config.nargs > 0 && i < sizeof(inits) / sizeof(inits[0]); i++)
		config.is_init |= text_equal(config.argv[0], inits[i]);
}

/* Linux reads 128 KiB ahead on virtio-fs, and never asks for more at a time, unless it is told so. */
static void read_far_ahead(const char *folder)
{
	struct text path = {.len = 0};
	struct statx st;

	if (SYS5(SYS_statx, AT_FDCWD, folder, 0, STATX_BASIC_STATS, &st) < 0)
		return;
	text_add(&path, "/sys/class/bdi/");
	text_add_number(&path, st.stx_dev_major);
	text_add(&path, ":");
	text_add_number(&path, st.stx_dev_minor);
	text_add(&path, "/read_ahead_kb");
	(void)file_write(path.data, "1024", 4);
}

/* An application that finds an empty folder instead would write into it. */
static void mount_shares(void)
{
	for (unsigned i = 0; i < config.nshares; i++) {
		struct text tag = {.len = 0};
		long ret;

		text_add(&tag, "share");
		text_add_number(&tag, i);
		(void)make_folders(config.shares[i], 0755);
		ret = mount_fs(tag.data, config.shares[i], "virtiofs", MS_NOSUID | MS_NODEV, NULL);
		if (ret < 0)
			give_up("cannot mount the shared folder ", config.shares[i], ret);
		read_far_ahead(config.shares[i]);
	}
}

static void prepare(void)
{
	choose_command();
	if (!config.is_init)
		mount_others();
	(void)make_folders("/tmp", 01777);
	set_hostname();
	for (unsigned i = 0; i < config.nvolumes; i++)
		(void)make_folders(config.volumes[i], 0755);
	mount_shares();
	if (config.folder != NULL)
		(void)make_folders(config.folder, 0755);
	SYS1(SYS_umask, 022);
	net_begin();
}

/* --- the agent --- */

/* What tells process 1 to end: an application its stop signal; an init systemd's signal for the power button, or
 * the image's own word. systemd's signal to halt would leave the machine standing. */
static uint32_t power_signal(void)
{
	uint32_t rtmin = 34;

	if (!config.is_init)
		return config.stop_signal != 0 ? config.stop_signal : SIGTERM;
	if (config.stop_signal == 0 || config.stop_signal == rtmin + 3)
		return rtmin + 4;
	return config.stop_signal;
}

static void start_agent(long ready)
{
	agent = fork_process();
	if (agent != 0)
		return;
	SYS0(SYS_setsid);
	reset_signals();
	agent_run(ready, power_signal(), config.is_init);
}

/* The first card has an address when the application starts, if a server is quick. */
static void start_agent_and_wait(void)
{
	const struct timespec wait = {.tv_sec = LEASE_WAIT_MS / 1000};
	struct pollfd poll = {.events = POLLIN};
	int ends[2];

	if (SYS2(SYS_pipe2, ends, O_CLOEXEC) < 0)
		return;
	start_agent(ends[1]);
	SYS1(SYS_close, ends[1]);
	poll.fd = ends[0];
	SYS5(SYS_ppoll, &poll, 1, &wait, NULL, 0);
	SYS1(SYS_close, ends[0]);
}

/* --- the application --- */

static void become_user(struct account *account)
{
	static char user[1024], root[] = "0";
	bool group = false;
	long ret;

	text_copy(user, sizeof(user), config.user != NULL ? config.user : "");
	if (user[0] == '\0') {
		if (!account_of_user(ACCOUNT_PASSWD, root, account))
			text_copy(account->home, sizeof(account->home), "/");
		return;
	}
	for (size_t i = 0; user[i] != '\0'; i++)
		group |= user[i] == ':';
	if (!account_find(ACCOUNT_PASSWD, ACCOUNT_GROUP, user, account)) {
		say("the image has no user or group ", config.user, 0);
		leave(126);
	}
	/* As container engines do: a group that is named is the only one. */
	if (group)
		account->ngroups = 0;
	SYS3(SYS_fchown, 0, account->uid, -1);
	ret = account_become(account);
	if (ret < 0) {
		say("cannot become ", config.user, ret);
		leave(126);
	}
}

static _Noreturn void become_application(void)
{
	const struct {
		uint64_t soft, hard;
	} files = {FILES_SOFT, FILES_HARD};
	static struct account account = {.home = "/root"};
	static struct text host = {.len = 0};
	long ret;

	if (!config.is_init) {
		SYS0(SYS_setsid);
		SYS3(SYS_ioctl, 0, TIOCSCTTY, 0);
	}
	reset_signals();
	SYS1(SYS_umask, 022);
	SYS4(SYS_prlimit64, 0, RLIMIT_NOFILE, &files, NULL);
	if (config.hostname != NULL) {
		text_add(&host, "HOSTNAME=");
		text_add(&host, config.hostname);
		environment_default(config.env, "HOSTNAME", host.data);
	}
	become_user(&account);
	environment_complete(config.env, account.home, true);
	ret = SYS1(SYS_chdir, config.folder != NULL ? config.folder : "/");
	if (ret < 0) {
		say("cannot enter ", config.folder, ret);
		leave(126);
	}
	ret = find_and_execute(config.argv, config.env);
	say("cannot run ", config.argv[0], ret);
	leave(ret == -ENOENT || ret == -ENOTDIR ? 127 : 126);
}

static void start_application(void)
{
	if (config.nargs == 0)
		give_up("the image names no command", "", 0);
	application = fork_process();
	if (application == 0)
		become_application();
	if (application < 0)
		give_up("no process for ", config.argv[0], application);
}

/* --- process 1 --- */

static void reap(void)
{
	int status;
	long pid;

	while ((pid = SYS4(SYS_wait4, -1, &status, WNOHANG, NULL)) > 0) {
		if (pid == application)
			power_off(WIFSIGNALED(status) ? 128 + WTERMSIG(status)
						      : WEXITSTATUS(status));
		if (pid == agent) {
			sleep_ms(AGENT_AGAIN_MS);
			start_agent(-1);
		}
	}
}

/* A signal for process 1 is meant for the application. */
static void take_signals(int fd)
{
	struct signalfd_siginfo info;

	while (SYS3(SYS_read, fd, &info, sizeof(info)) == (long)sizeof(info)) {
		if (info.ssi_signo != SIGCHLD)
			SYS2(SYS_kill, application, info.ssi_signo);
	}
	reap();
}

static _Noreturn void serve(void)
{
	struct pollfd fds[1 + BUTTONS_MAX];
	int buttons[BUTTONS_MAX];
	unsigned n = button_open(buttons);
	uint64_t all = ~0ull;

	SYS4(SYS_rt_sigprocmask, 0 /* SIG_BLOCK */, &all, NULL, sizeof(all));
	fds[0].fd = (int)SYS4(SYS_signalfd4, -1, &all, sizeof(all), SFD_NONBLOCK | SFD_CLOEXEC);
	fds[0].events = POLLIN;
	for (unsigned i = 0; i < n; i++)
		fds[i + 1] = (struct pollfd){.fd = buttons[i], .events = POLLIN};
	start_application();
	for (;;) {
		SYS5(SYS_ppoll, fds, n + 1, NULL, NULL, 0);
		take_signals(fds[0].fd);
		for (unsigned i = 1; i <= n; i++) {
			if (fds[i].revents != 0 && button_pressed(fds[i].fd))
				SYS2(SYS_kill, application, power_signal());
		}
	}
}

/* Called by the first instructions. */
_Noreturn void init_main(void);

__attribute__((used)) _Noreturn void init_main(void)
{
	if (SYS0(SYS_getpid) != 1)
		leave(2);
	begin();
	mount_root();
	switch_root();
	prepare();
	start_agent_and_wait();
	if (config.is_init)
		become_application();
	serve();
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tand $-16, %rsp\n\tcall init_main\n");
#else
__asm__(".globl _start\n_start:\n\tmov x29, #0\n\tbl init_main\n");
#endif
