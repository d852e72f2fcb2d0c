/* What files and ports a running machine reaches: its own, and no others. Each case runs in a
 * child, which never leaves the domain. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/num.h"
#include "base/unix_socket.h"
#include "format/crypto/lazy.h"
#include "host/landlock.h"
#include "host/paths.h"
#include "host/sandbox.h"

#define DONE   0
#define BROKEN 1000 /* anything that should not have happened */

static char folder[] = "/tmp/torpor-files-XXXXXX";
static char secret[64];
static int secret_fd = -1, listener = -1, client = -1;
static uint16_t port, other_port;

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

static void teardown(void)
{
	nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

TestSuite(sandbox_files, .fini = teardown);

/* A port of our own, as long as *fd is open. */
static uint16_t take_port(int *fd)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);

	*fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert(eq(int, bind(*fd, (struct sockaddr *)&a, len), 0));
	cr_assert(eq(int, getsockname(*fd, (struct sockaddr *)&a, &len), 0));
	return ntohs(a.sin_port);
}

/* Two machines, `web` and `other`, and a file that is neither's. */
static bool prepare(void)
{
	static const char *const names[] = {"web", "other"};
	int fd;

	if (!SANDBOX_GUARDS) {
		printf("SKIP: the sanitizer's runtime makes calls of its own\n");
		return false;
	}
	cr_assert(ne(ptr, mkdtemp(folder), NULL));
	setenv("XDG_RUNTIME_DIR", folder, 1);
	/* One folder for both would hide that one is forgotten. */
	snprintf(secret, sizeof(secret), "%s/state", folder);
	setenv("XDG_STATE_HOME", secret, 1);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct path path;

		cr_assert(eq(int, path_runtime(&path, names[i], "", NULL), 0));
		cr_assert(eq(int, path_make_dirs(&path, NULL), 0));
		cr_assert(eq(int, path_state(&path, names[i], "", NULL), 0));
		cr_assert(eq(int, path_make_dirs(&path, NULL), 0));
		cr_assert(eq(int, path_state(&path, names[i], "exit", NULL), 0));
		fd = open(path.text, O_WRONLY | O_CREAT, 0600);
		cr_assert(ge(int, fd, 0));
		close(fd);
	}
	snprintf(secret, sizeof(secret), "%s/secret", folder);
	secret_fd = open(secret, O_RDWR | O_CREAT, 0600);
	cr_assert(eq(int, (int)write(secret_fd, "secret", 6), 6));
	port = take_port(&fd);
	close(fd);
	other_port = take_port(&listener);
	cr_assert(eq(int, listen(listener, 8), 0));
	client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return true;
}

static int confined(unsigned nets, int (*call)(void))
{
	const struct sandbox_reach reach = {
		.name = "web", .nets = nets, .port = &port, .nports = 1};
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		struct err err;

		if (sandbox_enter_machine(nets, &err) < 0 || sandbox_restrict(&reach, &err) < 0)
			_exit(255);
		_exit(call());
	}
	if (child < 0 || waitpid(child, &status, 0) != child || WIFSIGNALED(status) ||
	    WEXITSTATUS(status) == 255)
		return BROKEN;
	return WEXITSTATUS(status);
}

static int outcome(int ret)
{
	return ret >= 0 ? DONE : errno;
}

static const char *own(const char *file)
{
	static struct path path[2];
	static unsigned n;
	struct path *next = &path[n++ % 2];

	return path_state(next, "web", file, NULL) == 0 ? next->text : "";
}

static int call_read_etc(void)
{
	return outcome(open("/etc/passwd", O_RDONLY));
}

static int call_read_shadow(void)
{
	return outcome(open("/etc/shadow", O_RDONLY));
}

static int call_read_secret(void)
{
	return outcome(open(secret, O_RDONLY));
}

static int call_cut_secret(void)
{
	return outcome(open(secret, O_WRONLY | O_TRUNC));
}

static int call_remove_secret(void)
{
	return outcome(unlink(secret));
}

/* Below its own folder it may read. */
static int call_link_secret(void)
{
	return outcome(linkat(AT_FDCWD, secret, AT_FDCWD, own("mine"), 0));
}

static int call_move_secret(void)
{
	return outcome(rename(secret, own("mine")));
}

static int call_list_root(void)
{
	return outcome(open("/", O_RDONLY | O_DIRECTORY));
}

static int call_create_elsewhere(void)
{
	char path[80];

	snprintf(path, sizeof(path), "%s/new", folder);
	return outcome(open(path, O_WRONLY | O_CREAT | O_EXCL, 0600));
}

static int call_unnamed_elsewhere(void)
{
	return outcome(open(folder, O_TMPFILE | O_RDWR, 0600));
}

static int call_folder_elsewhere(void)
{
	char path[80];

	snprintf(path, sizeof(path), "%s/folder", folder);
	return outcome(mkdir(path, 0700));
}

static int call_siblings_record(void)
{
	struct path path;

	if (path_state(&path, "other", "exit", NULL) < 0)
		return BROKEN;
	return outcome(open(path.text, O_WRONLY));
}

static int call_siblings_lock(void)
{
	struct path path;

	if (path_runtime(&path, "other", "lock", NULL) < 0)
		return BROKEN;
	return outcome(open(path.text, O_RDWR | O_CREAT, 0600));
}

static int call_parents_environment(void)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/environ", (int)getppid());
	return outcome(open(path, O_RDONLY));
}

/* Its logs and its record; a scratch file for a disk. */
static int call_own_files(void)
{
	int fd = open(own("exit.new"), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, "x", 1) != 1 || rename(own("exit.new"), own("exit")) < 0 ||
	    open(own("exit"), O_RDONLY) < 0 || unlink(own("exit")) < 0)
		return errno;
	return outcome(open(own(""), O_TMPFILE | O_RDWR, 0600));
}

static int call_own_socket(void)
{
	struct path path;
	struct err err;
	int fd;

	if (path_runtime(&path, "web", "control", NULL) < 0)
		return BROKEN;
	fd = unix_listen(path.text, &err);
	return fd < 0 ? -fd : outcome(unlink(path.text));
}

static int call_leave(void)
{
	struct path path;

	if (path_runtime(&path, "web", "", NULL) < 0)
		return BROKEN;
	(void)unlink(own("exit"));
	return rmdir(own("")) < 0 ? errno : outcome(rmdir(path.text));
}

static int call_open_descriptor(void)
{
	char text[6];

	if (pread(secret_fd, text, 6, 0) != 6)
		return errno;
	return pwrite(secret_fd, text, 6, 6) == 6 ? outcome(ftruncate(secret_fd, 6)) : errno;
}

static int call_libraries(void)
{
	struct err err;

	return lazy_crypto(&err) != NULL && lazy_zstd(&err) != NULL ? DONE : ENOENT;
}

static int call_own_counters(void)
{
	return outcome(open("/proc/self/statm", O_RDONLY)) +
	       outcome(open("/proc/self/pagemap", O_RDONLY));
}

static int call_kvm(void)
{
	int fd = open("/dev/kvm", O_RDWR);

	return outcome(fd < 0 ? fd : ioctl(fd, 0xae00 /* KVM_GET_API_VERSION */, 0));
}

static int call_resolver(void)
{
	return outcome(open("/etc/resolv.conf", O_RDONLY));
}

static int bind_to(uint16_t number)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons(number),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	return outcome(bind(client, (struct sockaddr *)&a, sizeof(a)));
}

static int call_bind(void)
{
	return bind_to(port);
}

/* Would be EADDRINUSE. */
static int call_bind_other(void)
{
	return bind_to(other_port);
}

static int call_connect(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons(other_port),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	return outcome(connect(client, (struct sockaddr *)&a, sizeof(a)));
}

/* What the kernel does not have does not fail the test; what it has is tried. */
static bool has(int version, const char *what)
{
	if (landlock_version() >= version)
		return true;
	printf("SKIP: %s: Landlock here is version %d, and it needs %d\n", what, landlock_version(),
	       version);
	return false;
}

Test(sandbox_files, a_machine_reaches_its_own_and_no_others)
{
	static const struct {
		int (*call)(void);
		char name[32];
		int wanted;
		int landlock; /* since this version; 0: by no more than is always there */
	} tries[] = {
		{call_read_etc, "read /etc/passwd", EACCES, 1},
		{call_read_shadow, "read /etc/shadow", EACCES, 1},
		{call_read_secret, "read a file of its user", EACCES, 1},
		{call_cut_secret, "cut it", EACCES, 1},
		{call_remove_secret, "remove it", EACCES, 1},
		{call_link_secret, "link it into its own folder", EXDEV, 1},
		{call_move_secret, "move it there", EACCES, 1},
		{call_list_root, "list a folder", EACCES, 1},
		{call_create_elsewhere, "create a file", EACCES, 1},
		{call_unnamed_elsewhere, "create one without a name", EACCES, 1},
		{call_folder_elsewhere, "create a folder", EACCES, 1},
		{call_siblings_record, "write another's record", EACCES, 1},
		{call_siblings_lock, "create another's lock", EACCES, 1},
		{call_parents_environment, "read another's environment", EACCES, 1},
		{call_connect, "connect by TCP", EACCES, LANDLOCK_TCP},
		{call_bind, "listen by TCP", EACCES, LANDLOCK_TCP},
		{call_own_files, "its own files", DONE, 0},
		{call_own_socket, "its own socket", DONE, 0},
		{call_open_descriptor, "a descriptor it was given", DONE, 0},
		{call_libraries, "libraries", DONE, 0},
		{call_own_counters, "its own counters", DONE, 0},
	};

	if (!prepare())
		return;
	for (size_t i = 0; i < ARRAY_SIZE(tries); i++) {
		if (!has(tries[i].landlock, tries[i].name))
			continue;
		cr_expect(eq(int, confined(0, tries[i].call), tries[i].wanted), "%s",
			  tries[i].name);
	}
	if (access("/dev/kvm", R_OK | W_OK) == 0)
		cr_expect(eq(int, confined(0, call_kvm), DONE));
	cr_expect(eq(int, confined(0, call_leave), DONE));
	cr_expect(eq(int, access(own(""), F_OK), -1));
}

Test(sandbox_files, a_user_network_listens_where_it_was_told)
{
	if (!prepare())
		return;
	cr_expect(eq(int, confined(SANDBOX_NET_USER, call_bind), DONE));
	cr_expect(eq(int, confined(SANDBOX_NET_USER, call_connect), DONE));
	if (access("/etc/resolv.conf", R_OK) == 0)
		cr_expect(eq(int, confined(SANDBOX_NET_USER, call_resolver), DONE));
	if (has(1, "files"))
		cr_expect(eq(int, confined(SANDBOX_NET_USER, call_read_shadow), EACCES));
	if (has(LANDLOCK_TCP, "ports"))
		cr_expect(eq(int, confined(SANDBOX_NET_USER, call_bind_other), EACCES));
	/* Whatever the kernel chooses is taken at ::1, too. */
	port = 0;
	client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* the other one is bound by now */
	cr_expect(eq(int, confined(SANDBOX_NET_USER, call_bind_other), EADDRINUSE));
}

static int call_look(void)
{
	struct sandbox_layers layers;

	sandbox_layers(&layers);
	return layers.files;
}

Test(sandbox_files, it_is_told_as_it_is)
{
	if (!prepare())
		return;
	cr_expect(eq(int, call_look(), 0));
	cr_expect(eq(int, confined(0, call_look), landlock_version() > 0));
}
