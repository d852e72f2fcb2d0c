/*
 * The paths of machines and LANs: the XDG base directories, with `torpor` below each.
 *
 *     runtime  $XDG_RUNTIME_DIR/torpor/NAME/        lock, control, pid
 *     state    $XDG_STATE_HOME/torpor/NAME/         console.log, console.log.times, torpor.log, events, exit
 *     store    $XDG_DATA_HOME/torpor/NAME.torpor
 *     volumes  $XDG_DATA_HOME/torpor/volumes/NAME.raw
 *     images   $XDG_DATA_HOME/torpor/oci/           what came from registries (store/cas.h)
 *     LANs     $XDG_RUNTIME_DIR/torpor-lan/NAME/    lock, control, port, qemu, trunk
 *     LAN logs $XDG_STATE_HOME/torpor-lan/NAME.log
 *     trust    $XDG_CONFIG_HOME/torpor/trust/       public keys
 *     cache    $XDG_CACHE_HOME/torpor/NAME
 *
 * While a machine runs, its state folder also holds `running` and `socket`: a second lock and a
 * second control socket, for when the runtime folder is not there; and `arriving` while its files
 * are (host/arriving.h).
 *
 * Without XDG_RUNTIME_DIR: /run/torpor for root, else /run/user/UID/torpor, else /tmp/torpor-UID.
 * Root of a user namespace that may not write /run is the user outside, UID.
 *
 * Functions that make a path return 0, or -ENAMETOOLONG with *err set, and create nothing.
 * path_make_dirs(), path_make_parents() and the _ready() functions create folders and return 0, or
 * the errno of mkdir(2). The _ready() and _check() functions also return -ENAMETOOLONG, the errno
 * of lstat(2), and ERR_FAILED as said below. The environment is read at each call. Any thread.
 */
#ifndef TORPOR_HOST_PATHS_H
#define TORPOR_HOST_PATHS_H

#include <limits.h>

#include "base/err.h"

struct path {
	char text[PATH_MAX];
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
/* A volume; NULL: the folder of all. */
int path_volume(struct path *path, const char *name, struct err *err);
int path_cas(struct path *path, struct err *err);
int path_trust(struct path *path, struct err *err);
/* The folder for temporary files: $TMPDIR, or /var/tmp, for there may be much. */
const char *path_temporary(void);
/* What can be made or fetched again. */
int path_cache(struct path *path, const char *name, struct err *err);

/* mkdir -p, mode 0700, of the folder itself or of the one a file is to lie in. */
int path_make_dirs(const struct path *path, struct err *err);
int path_make_parents(const struct path *path, struct err *err);

/* Make the runtime root. ERR_FAILED when others can enter it: sockets that end machines, and that
 * take keys, lie there. */
int path_runtime_ready(struct err *err);
int path_lans_ready(struct err *err);
/* The same check, before something in it is believed. 0 when there is no such folder. */
int path_runtime_check(struct err *err);
int path_lans_check(struct err *err);

/* `file` as an absolute path. Also returns the errno of getcwd(3). */
int path_absolute(struct path *path, const char *file, struct err *err);

#endif
