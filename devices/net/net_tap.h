/*
 * `--net tap[=IF]`: a tap device of this host, with its offloads (linux/if_tun.h: IFF_VNET_HDR,
 * TUNSETOFFLOAD). The interface must exist and be ours to use, or we must be allowed to make one
 * (CAP_NET_ADMIN); bridging it is the user's business.
 */
#ifndef TORPOR_DEVICES_NET_NET_TAP_H
#define TORPOR_DEVICES_NET_NET_TAP_H

#include "base/log.h"
#include "base/loop.h"
#include "devices/net/net.h"

/* `name` NULL: a new one, torporN. Returns 0; -EINVAL with ERR_USAGE (too long a name), or with
 * ERR_FAILED and what to do: no /dev/net/tun, a right that is missing, an interface in use or of
 * another kind; -ENOMEM; or what open(2), ioctl(2) or epoll_ctl(2) gave. `log` is kept. */
int net_tap_open(struct net_backend **out, struct loop *loop, const struct log *log,
		 const char *name, struct err *err);
/* The interface's name; valid as long as the back end. */
const char *net_tap_name(const struct net_backend *b);

#endif
