/* See relay.h. */
#include "service/relay.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/num.h"

#define BUFFER KIB(64)
/* Of turns before others have theirs. */
#define TURNS 16u

struct flow {
	size_t at, len; /* of what is in the buffer */
	bool ended;	/* nothing more comes; the other side was told when the buffer was empty */
	bool told;
	uint8_t data[BUFFER];
};

struct relay_pair {
	struct relays *relays;
	struct relay_pair *next, **link;
	struct loop_watch watch[2];
	int fd[2];
	struct flow flow[2]; /* from fd[i] to the other one */
};

void relay_init(struct relays *r, struct loop *loop, void (*ended)(void *opaque), void *opaque)
{
	*r = (struct relays){.loop = loop, .ended = ended, .opaque = opaque};
}

static void not_open(struct relays *r)
{
	r->open--;
	if (r->ended != NULL)
		r->ended(r->opaque);
}

static void close_pair(struct relay_pair *p)
{
	struct relays *r = p->relays;

	for (int i = 0; i < 2; i++) {
		loop_del(r->loop, &p->watch[i]);
		cleanup_fd_fn(&p->fd[i]);
	}
	*p->link = p->next;
	if (p->next != NULL)
		p->next->link = p->link;
	r->count--;
	if (!p->flow[0].told)
		not_open(r);
	free(p);
}

/* Returns false when the connection is broken. */
static bool pump(struct relay_pair *p, int from)
{
	struct flow *f = &p->flow[from];
	int in = p->fd[from], out = p->fd[!from];

	for (unsigned turn = 0; turn < TURNS; turn++) {
		ssize_t n;

		if (f->len == 0 && !f->ended) {
			n = recv(in, f->data, sizeof(f->data), MSG_DONTWAIT);
			if (n < 0)
				return errno == EAGAIN || errno == EINTR;
			f->at = 0;
			f->len = (size_t)n;
			f->ended = n == 0;
		}
		if (f->len == 0)
			break;
		n = send(out, f->data + f->at, f->len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		p->relays->moved_ns = clock_monotonic_ns();
		f->at += (size_t)n;
		f->len -= (size_t)n;
	}
	if (f->ended && f->len == 0 && !f->told) {
		f->told = true;
		(void)shutdown(out, SHUT_WR);
		if (from == 0)
			not_open(p->relays);
	}
	return true;
}

static uint32_t wanted(const struct relay_pair *p, int i)
{
	const struct flow *in = &p->flow[i], *out = &p->flow[!i];

	return (in->len == 0 && !in->ended ? (uint32_t)EPOLLIN : 0) |
	       (out->len > 0 ? (uint32_t)EPOLLOUT : 0);
}

static void on_ready(struct relay_pair *p, int i, uint32_t events)
{
	if ((events & EPOLLERR) != 0 || !pump(p, 0) || !pump(p, 1) ||
	    (p->flow[0].told && p->flow[1].told)) {
		close_pair(p);
		return;
	}
	for (int k = 0; k < 2; k++)
		loop_mod(p->relays->loop, &p->watch[k], wanted(p, k));
	/* It would be told of again and again. */
	if ((events & EPOLLHUP) != 0 && wanted(p, i) == 0)
		loop_del(p->relays->loop, &p->watch[i]);
}

static void on_first(struct loop_watch *watch, uint32_t events)
{
	on_ready(container_of(watch, struct relay_pair, watch[0]), 0, events);
}

static void on_second(struct loop_watch *watch, uint32_t events)
{
	on_ready(container_of(watch, struct relay_pair, watch[1]), 1, events);
}

static int connect_to(uint16_t port, struct err *err)
{
	const struct sockaddr_in to = {.sin_family = AF_INET,
				       .sin_port = htons(port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	cleanup_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_sys(err, errno, "socket");
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS)
		return err_sys(err, errno, "connect to 127.0.0.1:%u", (unsigned)port);
	return take_fd(&fd);
}

int relay_add(struct relays *r, int fd, uint16_t port, struct err *err)
{
	cleanup_fd int from = fd, to = -1;
	struct relay_pair *p;
	int ret;

	if (r->count >= RELAY_MAX)
		return err_sys(err, EBUSY, "%u connections", RELAY_MAX);
	to = connect_to(port, err);
	if (to < 0)
		return to;
	(void)setsockopt(from, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return err_sys(err, ENOMEM, "a connection");
	p->relays = r;
	ret = loop_add(r->loop, &p->watch[0], from, EPOLLIN, on_first, err);
	if (ret == 0) {
		ret = loop_add(r->loop, &p->watch[1], to, EPOLLIN, on_second, err);
		if (ret < 0)
			loop_del(r->loop, &p->watch[0]);
	}
	if (ret < 0) {
		free(p);
		return ret;
	}
	p->fd[0] = take_fd(&from);
	p->fd[1] = take_fd(&to);
	p->next = r->first;
	p->link = &r->first;
	if (p->next != NULL)
		p->next->link = &p->next;
	r->first = p;
	r->count++;
	r->open++;
	return 0;
}

void relay_end(struct relays *r)
{
	r->ended = NULL;
	while (r->first != NULL)
		close_pair(r->first);
}
