/* See peers.h. The kernel counts what a peer has acknowledged (TCP_INFO), so that neither the size of
 * a socket's buffer nor what lies in it looks like progress. */
#include "serve/peers.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/clock.h"

struct peer {
	struct peer *next, **link;
	int fd;
	bool busy, gone;   /* gone: shut down, and soon removed */
	uint64_t since_ns; /* it waits, or its rate was looked at */
	uint64_t acked;
};

struct peers {
	pthread_mutex_t lock;
	struct peer *first;
	size_t count;
	unsigned limit;
	uint64_t patience_ns;
	int wake_fd;
};

int peers_new(struct peers **out, unsigned limit, uint64_t patience_ns, int wake_fd,
	      struct err *err)
{
	struct peers *p = calloc(1, sizeof(*p));

	*out = p;
	if (p == NULL)
		return err_sys(err, ENOMEM, "serve");
	pthread_mutex_init(&p->lock, NULL);
	p->limit = limit;
	p->patience_ns = patience_ns;
	p->wake_fd = wake_fd;
	return 0;
}

void peers_free(struct peers *p)
{
	if (p == NULL)
		return;
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static uint64_t bytes_acked(int fd)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 ? info.tcpi_bytes_acked : 0;
}

/* Locked. The server notices, and removes it. */
static void shut(struct peer *peer)
{
	peer->gone = true;
	(void)shutdown(peer->fd, SHUT_RDWR);
}

/* Locked. */
static void make_room(struct peers *p)
{
	struct peer *longest = NULL;

	for (struct peer *peer = p->first; peer != NULL; peer = peer->next) {
		if (!peer->busy && !peer->gone &&
		    (longest == NULL || peer->since_ns < longest->since_ns))
			longest = peer;
	}
	if (longest != NULL)
		shut(longest);
}

struct peer *peers_add(struct peers *p, int fd)
{
	struct peer *peer = calloc(1, sizeof(*peer));

	if (peer == NULL)
		return NULL;
	peer->fd = fd;
	pthread_mutex_lock(&p->lock);
	peer->since_ns = clock_monotonic_ns();
	if (p->count >= p->limit)
		make_room(p);
	peer->next = p->first;
	peer->link = &p->first;
	if (peer->next != NULL)
		peer->next->link = &peer->next;
	p->first = peer;
	if (p->count++ == 0)
		(void)eventfd_write(p->wake_fd, 1);
	pthread_mutex_unlock(&p->lock);
	return peer;
}

void peers_remove(struct peers *p, struct peer *peer)
{
	if (peer == NULL)
		return;
	pthread_mutex_lock(&p->lock);
	*peer->link = peer->next;
	if (peer->next != NULL)
		peer->next->link = peer->link;
	p->count--;
	pthread_mutex_unlock(&p->lock);
	free(peer);
}

static void change(struct peers *p, struct peer *peer, bool busy)
{
	if (peer == NULL)
		return;
	pthread_mutex_lock(&p->lock);
	peer->busy = busy;
	peer->since_ns = clock_monotonic_ns();
	peer->acked = busy ? bytes_acked(peer->fd) : 0;
	pthread_mutex_unlock(&p->lock);
}

void peers_busy(struct peers *p, struct peer *peer)
{
	change(p, peer, true);
}

void peers_waiting(struct peers *p, struct peer *peer)
{
	change(p, peer, false);
}

/* Locked. */
static void check(const struct peers *p, struct peer *peer, uint64_t now)
{
	uint64_t acked;

	if (peer->gone || now - peer->since_ns < p->patience_ns)
		return;
	if (!peer->busy) {
		shut(peer);
		return;
	}
	acked = bytes_acked(peer->fd);
	if (acked - peer->acked < PEERS_RATE * (p->patience_ns / NS_PER_SECOND)) {
		shut(peer);
		return;
	}
	peer->acked = acked;
	peer->since_ns = now;
}

size_t peers_check(struct peers *p)
{
	uint64_t now;
	size_t count;

	pthread_mutex_lock(&p->lock);
	/* Under the lock: no connection is younger. */
	now = clock_monotonic_ns();
	for (struct peer *peer = p->first; peer != NULL; peer = peer->next)
		check(p, peer, now);
	count = p->count;
	pthread_mutex_unlock(&p->lock);
	return count;
}
