/*
 * -v of `run`, `resume` and what is made of them: folders of this host that a guest shares. One thread, the
 * process's only one.
 *
 *     share_args_take … → share_args_open → share_args_add | share_args_bind → share_args_close
 *
 * They are opened, and their servers started, before this process is confined to what a machine may do.
 */
#ifndef TORPOR_CLI_SHARE_ARGS_H
#define TORPOR_CLI_SHARE_ARGS_H

#include <limits.h>

#include "cli/options.h"
#include "instance/source.h"

#define OPT_SHARE 'v'

/* clang-format off */
#define SHARE_OPTION                                                                               \
	{OPT_SHARE, "share", "DIR:GUEST[:ro]", "share the folder DIR with the guest, at GUEST there; repeatable"}
#define SHARE_REBIND_OPTION                                                                        \
	{OPT_SHARE, "share", "DIR:GUEST[:ro]|none", "DIR is the folder that the guest has at GUEST; none: it has those no more that are not given; repeatable"}
/* clang-format on */

struct share_arg {
	const char *value;
	char dir[PATH_MAX];
	char guest[APPLIANCE_GUEST_MAX + 1];
	bool readonly;
	struct share_ends ends; /* owned, once open */
};

struct share_args {
	unsigned n, nopen;
	struct share_arg share[APPLIANCE_MAX_SHARES];
	bool none; /* those that are not given are dropped */
};

/* Take the option: 1, 0 when it is another, or -EINVAL with ERR_USAGE. */
int share_args_take(struct share_args *args, int id, const char *value, struct err *err);
/* Returns 0, the errno of open(2), or what share_start() gives. */
int share_args_open(struct share_args *args, struct err *err);
void share_args_close(struct share_args *args);

/* Make them shared folders of a machine that boots. Paths are borrowed. Returns 0, or -EINVAL with ERR_USAGE for
 * `none`. */
int share_args_add(struct share_args *args, struct source *source, struct err *err);
/* Bind them to the shared folders of a machine that wakes. Returns 0, or -EINVAL with ERR_USAGE for one that it
 * has not, or one of it that is neither given nor dropped. */
int share_args_bind(struct share_args *args, struct source *source, struct err *err);

#endif
