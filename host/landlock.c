/* See landlock.h. The numbers are the kernel's, for headers that are older than it. */
#include "host/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

#define MOVES_SINCE 2

#define ACCESS_REFER	      (UINT64_C(1) << 13)
#define SCOPE_ABSTRACT_SOCKET (UINT64_C(1) << 0)
#define SCOPE_SIGNAL	      (UINT64_C(1) << 1)

/* struct landlock_ruleset_attr of version 6. */
struct ruleset {
	uint64_t files;
	uint64_t net;
	uint64_t scoped;
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

/* Moving files between folders is forbidden by every domain that does not allow it. */
static int allow_moves(int ruleset, struct err *err)
{
	cleanup_fd int root = open("/", O_PATH | O_CLOEXEC);
	const struct landlock_path_beneath_attr rule = {.allowed_access = ACCESS_REFER,
							.parent_fd = root};

	if (root < 0)
		return err_sys(err, errno, "open /");
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		return err_sys(err, errno, "landlock_add_rule");
	return 0;
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
	/* An older kernel takes the longer structure, too, if what it does not know is 0. */
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (ruleset < 0)
		return err_sys(err, errno, "landlock_create_ruleset");
	if (version >= MOVES_SINCE) {
		int ret = allow_moves(ruleset, err);

		if (ret < 0)
			return ret;
	}
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return err_sys(err, errno, "landlock_restrict_self");
	entered = version;
	return 0;
}
