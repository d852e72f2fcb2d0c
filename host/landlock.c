/* See landlock.h. The numbers are the kernel's, for headers that are older than it. */
#include "host/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

#define MOVES_SINCE    2
#define TRUNCATE_SINCE 3
#define DEVICES_SINCE  5

#define FIRST_FILES	      ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1) /* of version 1: all */
#define ACCESS_REFER	      (UINT64_C(1) << 13)
#define ACCESS_TRUNCATE	      (UINT64_C(1) << 14)
#define ACCESS_IOCTL_DEV      (UINT64_C(1) << 15)
#define NET_BIND	      (UINT64_C(1) << 0)
#define NET_CONNECT	      (UINT64_C(1) << 1)
#define RULE_NET_PORT	      2
#define SCOPE_ABSTRACT_SOCKET (UINT64_C(1) << 0)
#define SCOPE_SIGNAL	      (UINT64_C(1) << 1)

#define READ	 LANDLOCK_ACCESS_FS_READ_FILE
#define WRITE	 (LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_TRUNCATE)
#define OF_FILES (READ | WRITE | LANDLOCK_ACCESS_FS_EXECUTE | ACCESS_IOCTL_DEV)

#define STORE                                                                                      \
	(READ | WRITE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |                \
	 LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_SYM |                               \
	 LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | ACCESS_REFER)

static const uint64_t accesses[] = {
	[LANDLOCK_READ] = READ,
	[LANDLOCK_TREE] = READ | LANDLOCK_ACCESS_FS_READ_DIR,
	[LANDLOCK_RUN] = READ | LANDLOCK_ACCESS_FS_EXECUTE,
	[LANDLOCK_DEVICE] = READ | WRITE | ACCESS_IOCTL_DEV,
	[LANDLOCK_OWN] = READ | WRITE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
			 LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REMOVE_FILE,
	[LANDLOCK_PARENT] = LANDLOCK_ACCESS_FS_REMOVE_DIR,
	[LANDLOCK_NAMES] = LANDLOCK_ACCESS_FS_REMOVE_FILE,
	[LANDLOCK_STORE] = STORE,
	[LANDLOCK_FOLDER] = STORE | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SOCK,
};

/* struct landlock_ruleset_attr of version 6. */
struct ruleset {
	uint64_t files;
	uint64_t net;
	uint64_t scoped;
};

/* struct landlock_net_port_attr of version 4. */
struct port_rule {
	uint64_t access;
	uint64_t port;
};

int landlock_version(void)
{
	long version =
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	return version > 0 ? (int)version : 0;
}

static int entered;

int landlock_entered(void)
{
	return entered;
}

/* An older kernel takes the longer structure, too, if what it does not know is 0. */
static int create_ruleset(const struct ruleset *attr, struct err *err)
{
	int fd = (int)syscall(SYS_landlock_create_ruleset, attr, sizeof(*attr), 0);

	return fd >= 0 ? fd : err_sys(err, errno, "landlock_create_ruleset");
}

static int enter_ruleset(int ruleset, int version, struct err *err)
{
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return err_sys(err, errno, "landlock_restrict_self");
	entered = version;
	return 0;
}

static int allow_below(int ruleset, int folder, uint64_t access, struct err *err)
{
	const struct landlock_path_beneath_attr rule = {.allowed_access = access,
							.parent_fd = folder};

	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		return err_sys(err, errno, "landlock_add_rule");
	return 0;
}

/* Moving files between folders is forbidden by every domain that does not allow it. */
static int allow_moves(int ruleset, struct err *err)
{
	cleanup_fd int root = open("/", O_PATH | O_CLOEXEC);

	if (root < 0)
		return err_sys(err, errno, "open /");
	return allow_below(ruleset, root, ACCESS_REFER, err);
}

int landlock_enter(struct err *err)
{
	int version = landlock_version();
	struct ruleset attr = {
		.files = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
			 LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
			 LANDLOCK_ACCESS_FS_MAKE_SYM,
	};
	cleanup_fd int ruleset = -1;

	if (version == 0)
		return 0;
	if (version >= MOVES_SINCE)
		attr.files |= ACCESS_REFER;
	if (version >= LANDLOCK_SCOPES)
		attr.scoped = SCOPE_ABSTRACT_SOCKET | SCOPE_SIGNAL;
	ruleset = create_ruleset(&attr, err);
	if (ruleset < 0)
		return ruleset;
	if (version >= MOVES_SINCE) {
		int ret = allow_moves(ruleset, err);

		if (ret < 0)
			return ret;
	}
	return enter_ruleset(ruleset, version, err);
}

int landlock_begin(struct landlock *l, unsigned how, struct err *err)
{
	struct ruleset attr = {.files = FIRST_FILES};

	*l = (struct landlock){.fd = -1, .version = landlock_version()};
	if (l->version == 0)
		return 0;
	if (l->version >= MOVES_SINCE)
		attr.files |= ACCESS_REFER;
	if (l->version >= TRUNCATE_SINCE)
		attr.files |= ACCESS_TRUNCATE;
	if (l->version >= DEVICES_SINCE)
		attr.files |= ACCESS_IOCTL_DEV;
	if (l->version >= LANDLOCK_TCP && (how & LANDLOCK_TCP_BIND) == 0)
		attr.net |= NET_BIND;
	if (l->version >= LANDLOCK_TCP && (how & LANDLOCK_TCP_CONNECT) == 0)
		attr.net |= NET_CONNECT;
	if (l->version >= LANDLOCK_SCOPES && (how & LANDLOCK_KEEP_IN) != 0)
		attr.scoped = SCOPE_ABSTRACT_SOCKET | SCOPE_SIGNAL;
	l->files = attr.files;
	l->fd = create_ruleset(&attr, err);
	return l->fd < 0 ? l->fd : 0;
}

int landlock_allow(struct landlock *l, const char *path, enum landlock_access what, struct err *err)
{
	uint64_t access = accesses[what] & l->files;
	cleanup_fd int fd = -1;
	struct stat st;

	if (l->fd < 0)
		return 0;
	fd = open(path, O_PATH | O_CLOEXEC);
	/* What is not there, or cannot be reached, needs no rule. */
	if (fd < 0 || fstat(fd, &st) < 0)
		return 0;
	if (!S_ISDIR(st.st_mode))
		access &= OF_FILES;
	return allow_below(l->fd, fd, access, err);
}

int landlock_allow_bind(struct landlock *l, uint16_t port, struct err *err)
{
	const struct port_rule rule = {NET_BIND, port};

	if (l->version < LANDLOCK_TCP)
		return 0;
	if (syscall(SYS_landlock_add_rule, l->fd, RULE_NET_PORT, &rule, 0) < 0)
		return err_sys(err, errno, "landlock_add_rule");
	return 0;
}

int landlock_end(struct landlock *l, struct err *err)
{
	return l->fd < 0 ? 0 : enter_ruleset(l->fd, l->version, err);
}

void landlock_free(struct landlock *l)
{
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
}
