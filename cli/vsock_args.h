/*
 * --vsock of `run`, `resume` and what is made of them: where the sockets of a guest's virtio-vsock lead to. One
 * thread, the process's only one.
 *
 *     vsock_args_take → vsock_args_open → vsock_args_add | vsock_args_bind → vsock_args_close
 *
 * The socket is made, and the process that connects for the guest started (vsock/process.h), before this process
 * is confined to what a machine may do.
 */
#ifndef TORPOR_CLI_VSOCK_ARGS_H
#define TORPOR_CLI_VSOCK_ARGS_H

#include "cli/options.h"
#include "instance/source.h"

#define OPT_VSOCK (OPTION_LONG_ONLY + 440)

/* clang-format off */
#define VSOCK_OPTION                                                                               \
	{OPT_VSOCK, "vsock", "PATH", "connect the guest's vsock with Unix sockets: PATH takes connections to it, PATH_PORT gets those of the guest to PORT"}
/* clang-format on */

struct vsock_args {
	const char *path; /* NULL: not given */
	bool open;
	struct vsock_ends ends; /* owned, once open */
};

/* Take the option: 1, or 0 when it is another. */
int vsock_args_take(struct vsock_args *args, int id, const char *value);
/* Before it is opened: whether the socket can be made. Returns 0, or what vsock_check_path() gives. */
int vsock_args_check(const struct vsock_args *args, struct err *err);
/* Returns 0, or what vsock_start() gives. */
int vsock_args_open(struct vsock_args *args, struct err *err);
void vsock_args_close(struct vsock_args *args);

/* Give a machine that boots a vsock, if one was asked for. The path is borrowed. */
void vsock_args_add(struct vsock_args *args, struct source *source);
/* Connect the vsock of a machine that wakes; `typed` is its name for a line on standard error when it has one and
 * nobody is to be behind it. Returns 0, or -EINVAL with ERR_USAGE when it has none. */
int vsock_args_bind(struct vsock_args *args, struct source *source, const char *typed,
		    struct err *err);

#endif
