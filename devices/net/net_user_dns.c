/*
 * DNS for hosts whose name servers have IPv6 addresses only; see net_user_internal.h.
 *
 * libslirp forwards what a guest sends to 10.0.2.3 to this host's first IPv4 name server, and
 * has no server to forward it to where there is none. Such queries are sent here, over UDP, each
 * from a socket of its own; the answer goes back as a datagram of 10.0.2.3. Queries by TCP are not.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "devices/net/net_user_internal.h"

#define RESOLV_CONF "/etc/resolv.conf"
#define DNS_PORT    53u
#define HEADERS	    (ETH_HLEN + sizeof(struct iphdr) + sizeof(struct udphdr))

/* A query that was sent; its socket is kept until there is an answer, or another needs the
 * place. */
struct user_query {
	struct loop_watch watch; /* watch.fd -1: free */
	struct net_user *user;
	uint8_t guest_mac[ETH_ALEN], our_mac[ETH_ALEN];
	uint8_t guest[4];
	uint16_t port; /* the guest's */
};

/* The first IPv6 name server, if there is none of IPv4: its family says so. */
static void find_v6_server(const char *path, struct sockaddr_in6 *server)
{
	char line[512], text[INET6_ADDRSTRLEN + IF_NAMESIZE + 1];
	FILE *f = fopen(path, "re");

	server->sin6_family = AF_UNSPEC;
	if (f == NULL)
		return;
	while (fgets(line, sizeof(line), f) != NULL) {
		struct in_addr v4;
		char *scope;

		if (sscanf(line, " nameserver %62s", text) != 1)
			continue;
		if (inet_pton(AF_INET, text, &v4) == 1) {
			server->sin6_family = AF_UNSPEC;
			break;
		}
		scope = strchr(text, '%');
		if (scope != NULL)
			*scope++ = '\0';
		if (server->sin6_family == AF_INET6 ||
		    inet_pton(AF_INET6, text, &server->sin6_addr) != 1)
			continue;
		server->sin6_scope_id = scope != NULL ? if_nametoindex(scope) : 0;
		server->sin6_family = AF_INET6;
	}
	fclose(f);
}

/* The file is read once a second at most, as libslirp does for its own server. */
static const struct sockaddr_in6 *current_v6_server(struct net_user *u)
{
	int64_t now = user_now_ns();

	if (now >= u->dns_expires) {
		find_v6_server(u->resolv_conf, &u->dns_server);
		u->dns_server.sin6_port = htons(u->dns_port);
		u->dns_expires = now + (int64_t)NS_PER_SECOND;
	}
	return u->dns_server.sin6_family == AF_INET6 ? &u->dns_server : NULL;
}

static void close_query(struct user_query *q)
{
	int fd = q->watch.fd;

	loop_del(q->user->loop, &q->watch);
	if (fd >= 0)
		close(fd);
	q->watch.fd = -1;
}

/* The answer as a frame to the guest. A UDP checksum of zero is none (RFC 768). */
static void on_dns_answer(struct loop_watch *watch, uint32_t events)
{
	struct user_query *q = container_of(watch, struct user_query, watch);
	static const uint8_t server[] = {USER_DNS >> 24, USER_DNS >> 16 & 0xff,
					 USER_DNS >> 8 & 0xff, USER_DNS & 0xff};
	uint8_t frame[HEADERS + 4096] = {0}, *ip = frame + ETH_HLEN,
				*udp = ip + sizeof(struct iphdr);
	ssize_t got = recv(watch->fd, frame + HEADERS, sizeof(frame) - HEADERS, MSG_DONTWAIT);
	struct net_user *u = q->user;
	uint16_t sum;

	(void)events;
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	close_query(q);
	if (got <= 0)
		return; /* no server answers there: the guest asks again */
	memcpy(frame, q->guest_mac, ETH_ALEN);
	memcpy(frame + ETH_ALEN, q->our_mac, ETH_ALEN);
	be_put16(frame + 2 * ETH_ALEN, ETH_P_IP);
	ip[0] = 0x45;
	be_put16(ip + 2, (uint16_t)(HEADERS - ETH_HLEN + (size_t)got));
	ip[8] = IPDEFTTL;
	ip[9] = IPPROTO_UDP;
	memcpy(ip + 12, server, sizeof(server));
	memcpy(ip + 16, q->guest, sizeof(q->guest));
	sum = (uint16_t)~net_sum_fold(net_sum(ip, sizeof(struct iphdr), 0));
	memcpy(ip + 10, &sum, sizeof(sum));
	be_put16(udp, DNS_PORT);
	be_put16(udp + 2, q->port);
	be_put16(udp + 4, (uint16_t)(sizeof(struct udphdr) + (size_t)got));
	user_deliver(u, frame, HEADERS + (size_t)got);
}

bool user_dns_query(struct net_user *u, const uint8_t *frame, const struct net_packet *packet)
{
	const struct sockaddr_in6 *server;
	const uint8_t *ip = frame + packet->ip, *udp = frame + packet->l4;
	struct user_query *q;
	int fd;

	if (packet->ethertype != ETH_P_IP || be_get32(ip + 16) != USER_DNS ||
	    be_get16(udp + 2) != DNS_PORT || (be_get16(ip + 6) & IP_MF) != 0)
		return false;
	server = current_v6_server(u);
	if (server == NULL)
		return false;
	if (u->query == NULL) {
		u->query = calloc(USER_QUERIES, sizeof(*u->query));
		if (u->query == NULL)
			return true;
		for (unsigned i = 0; i < USER_QUERIES; i++)
			u->query[i] = (struct user_query){.watch.fd = -1, .user = u};
	}
	q = &u->query[u->next_query++ % USER_QUERIES];
	close_query(q);
	fd = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return true; /* dropped; the guest asks again */
	memcpy(q->guest_mac, frame + ETH_ALEN, ETH_ALEN);
	memcpy(q->our_mac, frame, ETH_ALEN);
	memcpy(q->guest, ip + 12, sizeof(q->guest));
	q->port = be_get16(udp);
	/* Connected: only the server's answers come in. */
	if (connect(fd, (const struct sockaddr *)server, sizeof(*server)) < 0 ||
	    send(fd, frame + packet->payload, packet->end - packet->payload, MSG_DONTWAIT) < 0 ||
	    loop_add(u->loop, &q->watch, fd, EPOLLIN, on_dns_answer, NULL) < 0)
		close(fd);
	return true;
}

void user_dns_close(struct net_user *u)
{
	for (unsigned i = 0; u->query != NULL && i < USER_QUERIES; i++)
		close_query(&u->query[i]);
	free(u->query);
	u->query = NULL;
}

void user_dns_init(struct net_user *u, const char *resolv_conf, uint16_t port)
{
	u->resolv_conf = resolv_conf != NULL ? resolv_conf : RESOLV_CONF;
	u->dns_port = port != 0 ? port : DNS_PORT;
}
