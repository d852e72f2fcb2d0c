/*
 * IPv6 for published TCP ports; see net_user_internal.h.
 *
 * A port that is published over IPv4 is listened to over IPv6 as well, because "localhost" is ::1
 * first. Its connections are passed on to the IPv4 port on this host's loopback, and so to the
 * guest's IPv4 address: a guest need not have IPv6, nor its program listen there. Machine lock
 * held.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/num.h"
#include "devices/net/net_user_internal.h"

#define BACKLOG	     128
#define MAX_PAIRS    256u
#define RELAY_BUFFER 65536u

struct user_relay {
	struct loop_watch watch; /* watch.fd is owned, and listens */
	struct net_user *user;
	struct user_relay *next;
	uint16_t port; /* over IPv4 */
};

/* One side of a connection, and what was read from it and not yet written to the other. */
struct relay_side {
	struct loop_watch watch; /* watch.fd is owned */
	struct relay_pair *pair;
	int fd;
	bool ended; /* nothing more comes from it */
	bool shut;  /* the other side was told so */
	size_t at, end;
	uint8_t data[RELAY_BUFFER];
};

struct relay_pair {
	struct net_user *user;
	struct relay_pair *next;
	struct relay_side side[2];
};

static void relay_close_pair(struct relay_pair *pair)
{
	struct net_user *u = pair->user;
	struct relay_pair **link = &u->pair;

	while (*link != pair)
		link = &(*link)->next;
	*link = pair->next;
	for (unsigned i = 0; i < 2; i++) {
		loop_del(u->loop, &pair->side[i].watch);
		if (pair->side[i].fd >= 0)
			close(pair->side[i].fd);
	}
	free(pair);
	u->npairs--;
	/* One that ran out of descriptors goes on. */
	for (struct user_relay *relay = u->relay; relay != NULL; relay = relay->next)
		loop_mod(u->loop, &relay->watch, EPOLLIN);
}

/* Read once and write once. False: the connection is broken. */
static bool relay_move(struct relay_side *from, struct relay_side *to)
{
	ssize_t n;

	if (!from->ended && from->at == from->end) {
		n = recv(from->fd, from->data, sizeof(from->data), MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		from->ended = n == 0;
		from->at = 0;
		from->end = n > 0 ? (size_t)n : 0;
	}
	if (from->at < from->end) {
		n = send(to->fd, from->data + from->at, from->end - from->at,
			 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		from->at += n > 0 ? (size_t)n : 0;
	}
	if (from->ended && from->at == from->end && !from->shut) {
		from->shut = true;
		(void)shutdown(to->fd, SHUT_WR);
	}
	return true;
}

static void relay_watch(struct relay_side *side, const struct relay_side *other)
{
	uint32_t events = !side->ended && side->at == side->end ? EPOLLIN : 0;

	if (other->at < other->end)
		events |= EPOLLOUT;
	loop_mod(side->pair->user->loop, &side->watch, events);
}

static void on_relay(struct loop_watch *watch, uint32_t events)
{
	struct relay_side *side = container_of(watch, struct relay_side, watch);
	struct relay_pair *pair = side->pair;
	struct relay_side *a = &pair->side[0], *b = &pair->side[1];

	if (!relay_move(a, b) || !relay_move(b, a) || (a->shut && b->shut) ||
	    (events & EPOLLERR) != 0) {
		relay_close_pair(pair);
		return;
	}
	relay_watch(a, b);
	relay_watch(b, a);
	/* A hang-up cannot be muted. What is left to be written shows as an event of the other
	 * side. */
	if ((events & EPOLLHUP) != 0 && side->ended)
		loop_del(pair->user->loop, watch);
}

/* Takes over `client`. */
static int relay_open_pair(struct user_relay *relay, int client)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(relay->port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct net_user *u = relay->user;
	struct relay_pair *pair = calloc(1, sizeof(*pair));

	if (pair == NULL) {
		close(client);
		return -ENOMEM;
	}
	pair->user = u;
	pair->next = u->pair;
	u->pair = pair;
	u->npairs++;
	pair->side[0].fd = client;
	pair->side[1].fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	for (unsigned i = 0; i < 2; i++) {
		pair->side[i].pair = pair;
		pair->side[i].watch.fd = -1;
	}
	if (pair->side[1].fd < 0 ||
	    (connect(pair->side[1].fd, (struct sockaddr *)&to, sizeof(to)) < 0 &&
	     errno != EINPROGRESS) ||
	    loop_add(u->loop, &pair->side[0].watch, client, EPOLLIN, on_relay, NULL) < 0 ||
	    loop_add(u->loop, &pair->side[1].watch, pair->side[1].fd, EPOLLIN, on_relay, NULL) <
		    0) {
		relay_close_pair(pair);
		return -EIO;
	}
	return 0;
}

static void on_relay_client(struct loop_watch *watch, uint32_t events)
{
	struct user_relay *relay = container_of(watch, struct user_relay, watch);
	struct net_user *u = relay->user;
	int fd = accept4(watch->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	if (fd < 0) {
		/* Out of descriptors: wait until a connection ends. */
		if ((errno == EMFILE || errno == ENFILE) && u->npairs > 0)
			loop_mod(u->loop, watch, 0);
		return;
	}
	if (u->npairs >= MAX_PAIRS)
		close(fd);
	else
		(void)relay_open_pair(relay, fd);
}

int user_relay_listen(struct net_user *u, const struct net_forward *v4)
{
	static const int on = 1;
	bool any = v4->host.v4.s_addr == htonl(INADDR_ANY);
	struct sockaddr_in6 a = {.sin6_family = AF_INET6,
				 .sin6_port = htons(v4->host_port),
				 .sin6_addr = any ? in6addr_any : in6addr_loopback};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct user_relay *relay;
	int ret;

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, BACKLOG) < 0) {
		ret = -errno;
		close(fd);
		return ret;
	}
	relay = calloc(1, sizeof(*relay));
	if (relay == NULL) {
		close(fd);
		return -ENOMEM;
	}
	*relay = (struct user_relay){.watch.fd = -1, .user = u, .port = v4->host_port};
	ret = loop_add(u->loop, &relay->watch, fd, EPOLLIN, on_relay_client, NULL);
	if (ret < 0) {
		close(fd);
		free(relay);
		return ret;
	}
	relay->next = u->relay;
	u->relay = relay;
	return 0;
}

void user_relay_reset(struct net_user *u)
{
	while (u->pair != NULL) {
		for (unsigned i = 0; i < 2; i++)
			user_reset_on_close(u->pair->side[i].fd);
		relay_close_pair(u->pair);
	}
}

void user_relay_close(struct net_user *u)
{
	struct user_relay *relay, *next;

	while (u->pair != NULL)
		relay_close_pair(u->pair);
	for (relay = u->relay; relay != NULL; relay = next) {
		int fd = relay->watch.fd;

		next = relay->next;
		loop_del(u->loop, &relay->watch);
		close(fd);
		free(relay);
	}
	u->relay = NULL;
}
