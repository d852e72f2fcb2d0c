/*
 * Where a machine's things are: the XDG base directories, with `torpor` below each.
 *
 *     runtime  $XDG_RUNTIME_DIR/torpor/NAME/        lock, control, pid
 *     state    $XDG_STATE_HOME/torpor/NAME/         console.log, torpor.log, exit
 *     store    $XDG_DATA_HOME/torpor/NAME.torpor
 *     LANs     $XDG_RUNTIME_DIR/torpor-lan/NAME/    lock, control, port, qemu, trunk
 *     their logs $XDG_STATE_HOME/torpor-lan/NAME.log
 *     trust    $XDG_CONFIG_HOME/torpor/trust/       public keys
 *
 * Without XDG_RUNTIME_DIR: /run/torpor for root, else /run/user/UID/torpor, else /tmp/torpor-UID.
 * Looking at a path creates nothing; path_make_dirs() and path_runtime_ready() do.
 */
#ifndef TORPOR_HOST_PATHS_H
#define TORPOR_HOST_PATHS_H

#include <sys/socket.h>
#include <sys/un.h>

#include "base/err.h"

struct path {
	char text[512];
};

int path_runtime_root(struct path *path, struct err *err);
int path_state_root(struct path *path, struct err *err);

/* `file` in machine `name`'s folder; "" for the folder itself. */
int path_runtime(struct path *path, const char *name, const char *file, struct err *err);
int path_state(struct path *path, const char *name, const char *file, struct err *err);
/* The same of a LAN. */
int path_lan_root(struct path *path, struct err *err);
int path_lan(struct path *path, const char *name, const char *file, struct err *err);
int path_lan_log(struct path *path, const char *name, struct err *err);
int path_store_root(struct path *path, struct err *err);
int path_store(struct path *path, const char *name, struct err *err);
int path_trust(struct path *path, struct err *err);

/* mkdir -p, mode 0700, of the folder itself or of the one a file is to lie in. */
int path_make_dirs(const struct path *path, struct err *err);
int path_make_parents(const struct path *path, struct err *err);

/* Make the runtime root, and insist that it is ours alone: sockets that end machines lie there. */
int path_runtime_ready(struct err *err);
int path_lans_ready(struct err *err);

/* Where the machine's control socket is, and any socket of a LAN. */
int path_control(struct sockaddr_un *addr, const char *name, struct err *err);
int path_lan_socket(struct sockaddr_un *addr, const char *name, const char *file, struct err *err);

/* The same file however the working directory changes. */
int path_absolute(struct path *path, const char *file, struct err *err);

#endif
