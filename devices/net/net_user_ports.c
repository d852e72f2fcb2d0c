/*
 * Published ports; see net_user_internal.h.
 *
 * libslirp listens and forwards, over IPv6 to IPv4 ports net_user_relay.c. One thing it cannot do:
 * while the host's loopback is closed to the guest, it also drops the guest's answers to datagrams
 * that came from there. Those are sent here, only to ports from which a datagram came lately;
 * not when they come in fragments.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "devices/net/net_user_internal.h"

#define BACKLOG 128 /* of TCP ports; libslirp's own is 1 */

union address {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static socklen_t address_size(const union address *a)
{
	return a->sa.sa_family == AF_INET6 ? sizeof(a->v6) : sizeof(a->v4);
}

static union address host_address(const struct net_forward *f)
{
	if (f->v6)
		return (union address){.v6 = {.sin6_family = AF_INET6,
					      .sin6_port = htons(f->host_port),
					      .sin6_addr = f->host.v6}};
	return (union address){.v4 = {.sin_family = AF_INET,
				      .sin_port = htons(f->host_port),
				      .sin_addr = f->host.v4}};
}

/* IPv6: any; libslirp takes the one that the guest uses. */
static union address guest_address(const struct net_user *u, const struct net_forward *f)
{
	if (f->v6)
		return (union address){
			.v6 = {.sin6_family = AF_INET6, .sin6_port = htons(f->guest_port)}};
	return (union address){.v4 = {.sin_family = AF_INET,
				      .sin_port = htons(f->guest_port),
				      .sin_addr = u->guest}};
}

static int forward_flags(const struct net_forward *f)
{
	return (f->udp ? SLIRP_HOSTFWD_UDP : 0) | (f->v6 ? SLIRP_HOSTFWD_V6ONLY : 0);
}

static int publish_error(const struct net_forward *f, int errnum, struct err *err)
{
	char host[INET6_ADDRSTRLEN] = "", port[INET6_ADDRSTRLEN + 16];

	inet_ntop(f->v6 ? AF_INET6 : AF_INET, &f->host, host, sizeof(host));
	snprintf(port, sizeof(port), f->v6 ? "[%s]:%u/%s" : "%s:%u/%s", host, f->host_port,
		 f->udp ? "udp" : "tcp");
	switch (errnum) {
	case EADDRINUSE:
		err_set(err, ERR_FAILED,
			"port %s is taken; choose another with -p, or 0 for any free one", port);
		return -EADDRINUSE;
	case EACCES:
		err_set(err, ERR_FAILED,
			"port %s takes a privilege on this host; choose one from 1024 on", port);
		return -EACCES;
	case EADDRNOTAVAIL:
		err_set(err, ERR_FAILED, "port %s: this host does not have that address", port);
		return -EADDRNOTAVAIL;
	case EAFNOSUPPORT:
		err_set(err, ERR_FAILED, "port %s: this host has no IPv6", port);
		return -EAFNOSUPPORT;
	default:
		return err_sys(err, errnum, "publish port %s", port);
	}
}

int net_user_check_forward(const struct net_forward *f, struct err *err)
{
	static const int on = 1;
	union address host = host_address(f);
	cleanup_fd int fd =
		socket(host.sa.sa_family, (f->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return publish_error(f, errno, err);
	/* As libslirp has it. */
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (f->v6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, &host.sa, address_size(&host)) < 0 || (!f->udp && listen(fd, 1) < 0))
		return publish_error(f, errno, err);
	return 0;
}

static int publish_port(struct net_user *u, struct user_port *p, struct err *err)
{
	struct net_forward *f = &p->forward;
	union address host = host_address(f), guest = guest_address(u, f);
	socklen_t size = sizeof(host);

	if (u->api->add_forward(u->slirp, &host.sa, address_size(&host), &guest.sa,
				address_size(&guest), forward_flags(f)) < 0)
		return publish_error(f, errno, err);
	p->fd = user_new_socket(u);
	if (p->fd < 0 || getsockname(p->fd, &host.sa, &size) < 0)
		return err_set(err, ERR_FAILED, "libslirp does not listen to a published port");
	u->nopen++; /* libslirp does not tell of those that listen */
	f->host_port = ntohs(f->v6 ? host.v6.sin6_port : host.v4.sin_port);
	if (!f->udp && listen(p->fd, BACKLOG) < 0)
		return err_sys(err, errno, "listen to port %u", f->host_port);
	return 0;
}

/* The guest has another address than it was thought to have. */
static void move_ports(struct net_user *u)
{
	struct err err = {0};

	for (unsigned i = 0; i < u->nports; i++) {
		const struct net_forward *f = &u->port[i].forward;
		union address host = host_address(f);

		if (f->v6)
			continue;
		u->api->remove_forward(u->slirp, &host.sa, address_size(&host), forward_flags(f));
		if (publish_port(u, &u->port[i], &err) < 0)
			log_line(u->log, "--net user: %s", err.text);
	}
}

/* The first address that the guest sends from. */
void user_set_guest(struct net_user *u, struct in_addr address)
{
	uint32_t host = ntohl(address.s_addr);

	if ((host & USER_NETMASK) != USER_NETWORK || host <= USER_DNS ||
	    host == (USER_NETWORK | ~USER_NETMASK))
		return;
	u->guest_known = true;
	if (address.s_addr == u->guest.s_addr)
		return;
	u->guest = address;
	move_ports(u);
}

unsigned net_user_forwards(const struct net_backend *b, struct net_forward *forward)
{
	const struct net_user *u = container_of((struct net_backend *)b, struct net_user, b);

	for (unsigned i = 0; i < u->nports; i++)
		forward[i] = u->port[i].forward;
	return u->nports;
}

int user_publish(struct net_user *u, const struct net_forward *forward, struct err *err)
{
	struct user_port *p = &u->port[u->nports];
	struct net_forward v6;
	int ret;

	p->forward = *forward;
	ret = publish_port(u, p, err);
	if (ret < 0)
		return ret;
	u->nports++;
	if (!forward->any_family || forward->udp || forward->v6)
		return 0;
	ret = user_relay_listen(u, &p->forward);
	/* A host without IPv6, or whose free port is taken there, has IPv4 alone. */
	if (ret == 0 || ret == -EAFNOSUPPORT || ret == -EADDRNOTAVAIL ||
	    (ret == -EADDRINUSE && forward->host_port == 0))
		return 0;
	v6 = (struct net_forward){
		.v6 = true,
		.host.v6 = p->forward.host.v4.s_addr == 0 ? in6addr_any : in6addr_loopback,
		.host_port = p->forward.host_port,
	};
	return publish_error(&v6, -ret, err);
}

int user_publish_again(struct net_user *u, struct err *err)
{
	for (unsigned i = 0; i < u->nports; i++) {
		int ret;

		u->port[i].npeers = 0;
		ret = publish_port(u, &u->port[i], err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* Answers to the host's loopback. */

/* The UDP port that leads to this port of the guest. */
static struct user_port *find_udp_port(struct net_user *u, bool v6, uint16_t guest_port)
{
	for (unsigned i = 0; i < u->nports; i++) {
		const struct net_forward *f = &u->port[i].forward;

		if (f->udp && f->v6 == v6 && f->guest_port == guest_port)
			return &u->port[i];
	}
	return NULL;
}

/* Is the address at `at` the host's, in the guest's network? */
static bool is_host(const uint8_t *at, bool v6)
{
	static const uint8_t v4_host[4] = {USER_HOST >> 24, USER_HOST >> 16 & 0xff,
					   USER_HOST >> 8 & 0xff, USER_HOST & 0xff};
	static const struct in6_addr v6_host = {.s6_addr = {0xfd, [15] = 2}};

	return v6 ? memcmp(at, &v6_host, sizeof(v6_host)) == 0
		  : memcmp(at, v4_host, sizeof(v4_host)) == 0;
}

void user_note_peer(struct net_user *u, const uint8_t *frame, const struct net_packet *packet)
{
	bool v6 = packet->ethertype == ETH_P_IPV6;
	struct user_port *p = find_udp_port(u, v6, be_get16(frame + packet->l4 + 2));

	if (p == NULL || !is_host(frame + packet->ip + (v6 ? 8 : 12), v6))
		return;
	p->peer[p->npeers++ % USER_PEERS] = be_get16(frame + packet->l4);
}

static bool is_peer(const struct user_port *p, uint16_t port)
{
	for (unsigned i = 0; i < USER_PEERS && i < p->npeers; i++) {
		if (p->peer[i] == port)
			return true;
	}
	return false;
}

bool user_answer_loopback(struct net_user *u, const uint8_t *frame, const struct net_packet *packet)
{
	bool v6 = packet->ethertype == ETH_P_IPV6;
	const uint8_t *udp = frame + packet->l4;
	struct user_port *p = find_udp_port(u, v6, be_get16(udp));
	uint16_t port = be_get16(udp + 2);
	union address to = {.v4 = {.sin_family = AF_INET,
				   .sin_port = htons(port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};

	if (u->host_loopback || p == NULL || !is_peer(p, port) ||
	    !is_host(frame + packet->ip + (v6 ? 24 : 16), v6) ||
	    be_get16(udp + 4) != packet->end - packet->l4)
		return false;
	if (v6)
		to.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6,
					      .sin6_port = htons(port),
					      .sin6_addr = in6addr_loopback};
	(void)sendto(p->fd, frame + packet->payload, packet->end - packet->payload, MSG_DONTWAIT,
		     &to.sa, address_size(&to));
	return true;
}
