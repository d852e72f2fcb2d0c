/*
 * `--net user`: the host's sockets as a network (libslirp), without privileges. The guest is behind
 * NAT at 10.0.2.15 and fd00::/64 of its own, with DHCP, DNS and ICMP echo where the host allows.
 * The process ignores SIGPIPE: libslirp does not guard its writes.
 *
 * libslirp is loaded here (dlopen), after the guest was started: a resume does not wait for it. Its
 * sockets are watched by the machine's loop; all with the machine lock held.
 */
#ifndef TORPOR_DEVICES_NET_NET_USER_H
#define TORPOR_DEVICES_NET_NET_USER_H

#include <netinet/in.h>

#include "base/log.h"
#include "base/loop.h"
#include "devices/net/net.h"

#define NET_MAX_FORWARDS 32u

/* A published port: what connects to `host` on this machine reaches `guest_port` in the guest. */
struct net_forward {
	bool udp;
	bool v6;
	union {
		struct in_addr v4;
		struct in6_addr v6;
	} host;		 /* any address: 0 */
	bool any_family; /* of v4 and TCP: IPv6's any address or loopback too, if there is IPv6 */
	uint16_t host_port; /* 0: any free one; net_user_forwards() tells which */
	uint16_t guest_port;
};

struct net_user_params {
	const struct net_forward *forward; /* borrowed for the call */
	unsigned nforwards;
	const char *hostname;	 /* the guest's, by DHCP; NULL: none; must outlive the back end */
	uint16_t mtu;		 /* of the card; 0: NET_MTU */
	const char *resolv_conf; /* NULL: /etc/resolv.conf; must outlive the back end */
	uint16_t dns_port;	 /* of name servers that only IPv6 reaches; 0: 53 */
	bool host_loopback; /* 10.0.2.2 leads to what listens on this host's 127.0.0.1 only: not
			     * for guests that are not trusted */
};

/* Returns 0; -EINVAL with ERR_USAGE (too many ports), or with ERR_FAILED when libslirp does not
 * start or listen; with ERR_FAILED, which names the port: -EADDRINUSE, -EACCES (it needs a
 * privilege), -EADDRNOTAVAIL or -EAFNOSUPPORT (this host lacks the address); -ENOENT with
 * ERR_FAILED when libslirp cannot be loaded; -ENOMEM; or what timerfd_create(2), epoll_ctl(2) or a
 * system call on the socket of a port gave. After an error nothing is published. `log` is kept. */
int net_user_open(struct net_backend **out, struct loop *loop, const struct log *log,
		  const struct net_user_params *params, struct err *err);
/* Whether a port could be published now: net_user_open() may still fail. Returns 0, the errors of a
 * port as there, or what socket(2), bind(2) or listen(2) gave. Any thread. */
int net_user_check_forward(const struct net_forward *forward, struct err *err);
/* What is published, with the ports that were chosen: up to NET_MAX_FORWARDS. Returns how many. */
unsigned net_user_forwards(const struct net_backend *b, struct net_forward *forward);

#endif
