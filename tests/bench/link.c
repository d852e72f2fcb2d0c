/*
 * A link of a limited rate and delay between clients and a server on this host: a relay of TCP connections.
 *
 *     link SERVER_PORT MBIT RTT_MS [slow]
 *
 * Every byte waits half a round trip each way; downwards all connections share the rate, first come, first served. A
 * new connection costs the round trip that its handshake would take. With `slow` a connection begins as TCP does (RFC
 * 6928, RFC 5681, "Slow Start"): ten segments may be under way, and one more for each that has arrived.
 *
 * Standard output: the port, then for each line of standard input one with what went through since the line before:
 * bytes down, connections, and pieces up, which are requests. It ends with its standard input. In real time, where the
 * user may: a relay that waits for a processor is a slower link than it says.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS 256
#define SEGMENT	    1448u
#define PIECE	    (4 * SEGMENT)
#define WINDOW	    (10.0 * SEGMENT)
#define QUEUE	    1024u /* pieces of one way of a connection: what a large window holds */
#define FOREVER	    UINT64_MAX
/* So much may wait in front of the link; more stays with its senders, who take turns. */
#define BACKLOG_NS 1000000u

struct piece {
	uint64_t at; /* when it arrives; FOREVER: it has not left yet */
	uint32_t len, done;
	uint8_t data[PIECE];
};

/* One way of a connection. */
struct way {
	struct piece *ring;    /* of QUEUE */
	unsigned first, count; /* of the ring */
	unsigned left;	       /* of them those that have left, at the ring's beginning */
	uint64_t *ack_at;      /* of QUEUE: when it does */
	uint32_t *ack_len;
	unsigned ack_first, acks;
	double window, under_way;
	bool ended;  /* the source has no more */
	bool closed; /* and the sink knows */
};

struct connection {
	int client, server; /* client -1: the place is free */
	uint64_t shaken;
	struct way up, down;
};

static struct connection all[CONNECTIONS];
static double ns_a_byte;
static uint64_t delay, free_at;
static bool slow;
static uint64_t bytes, connections, requests;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
	fprintf(stderr, "link: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void *get(size_t size)
{
	void *p = calloc(1, size);

	if (p == NULL)
		die("memory");
	return p;
}

static void way_begin(struct way *w)
{
	struct way old = *w;

	*w = (struct way){
		.ring = old.ring, .ack_at = old.ack_at, .ack_len = old.ack_len, .window = WINDOW};
	if (w->ring == NULL) {
		w->ring = get(QUEUE * sizeof(*w->ring));
		w->ack_at = get(QUEUE * sizeof(*w->ack_at));
		w->ack_len = get(QUEUE * sizeof(*w->ack_len));
	}
}

static void prepare(int fd)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	fcntl(fd, F_SETFL, O_NONBLOCK);
}

static void take_client(int listener, int server_port)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)server_port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC), server;

	if (client < 0)
		return;
	connections++;
	server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(server, (struct sockaddr *)&to, sizeof(to)) < 0) {
		close(server);
		close(client);
		return;
	}
	prepare(client);
	prepare(server);
	for (int i = 0; i < CONNECTIONS; i++) {
		struct connection *c = &all[i];

		if (c->client >= 0)
			continue;
		c->client = client;
		c->server = server;
		c->shaken = now_ns() + 2 * delay;
		way_begin(&c->up);
		way_begin(&c->down);
		return;
	}
	errno = EMFILE;
	die("too many connections");
}

static void take_acks(struct way *w, uint64_t now)
{
	while (w->acks > 0 && w->ack_at[w->ack_first] <= now) {
		w->under_way -= w->ack_len[w->ack_first];
		w->window += w->ack_len[w->ack_first];
		w->ack_first = (w->ack_first + 1) % QUEUE;
		w->acks--;
	}
}

/* The next piece waits for nothing but the link. */
static bool may_leave(const struct way *w)
{
	const struct piece *p = &w->ring[(w->first + w->left) % QUEUE];

	if (w->left == w->count)
		return false;
	return !slow ||
	       (w->acks < QUEUE && (w->under_way == 0 || w->under_way + p->len <= w->window));
}

static void send_piece(struct way *w, uint64_t now)
{
	struct piece *p = &w->ring[(w->first + w->left) % QUEUE];

	free_at = (free_at > now ? free_at : now) + (uint64_t)(p->len * ns_a_byte);
	p->at = free_at + delay;
	w->left++;
	if (slow) {
		unsigned last = (w->ack_first + w->acks++) % QUEUE;

		w->ack_at[last] = p->at + delay;
		w->ack_len[last] = p->len;
		w->under_way += p->len;
	}
}

/* Down: a piece of each connection in turn. Returns when the link is free for more; FOREVER: nothing waits
 * for it. */
static uint64_t send_down(uint64_t now)
{
	static int turn;
	bool waits = true;

	while (waits) {
		waits = false;
		for (int i = 0; i < CONNECTIONS; i++) {
			struct connection *c = &all[(turn + i) % CONNECTIONS];

			if (c->client < 0 || !may_leave(&c->down))
				continue;
			if (free_at > now + BACKLOG_NS) {
				turn = (turn + i) % CONNECTIONS;
				return free_at - BACKLOG_NS;
			}
			send_piece(&c->down, now);
			waits = true;
		}
	}
	return FOREVER;
}

static void take_in(struct connection *c, struct way *w, int from, bool down, uint64_t now)
{
	while (w->count < QUEUE && !w->ended) {
		struct piece *p = &w->ring[(w->first + w->count) % QUEUE];
		ssize_t got = read(from, p->data, sizeof(p->data));

		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		p->len = got > 0 ? (uint32_t)got : 0;
		p->done = 0;
		p->at = FOREVER;
		w->ended = got <= 0;
		w->count++;
		if (!down) {
			requests += got > 0;
			p->at = (now > c->shaken ? now : c->shaken) + delay;
			w->left++;
		}
	}
}

/* What has arrived, as much of it as the sink takes. */
static void give_out(struct way *w, int to, bool down, uint64_t now)
{
	while (w->left > 0 && w->ring[w->first].at <= now) {
		struct piece *p = &w->ring[w->first];

		if (p->len == 0) {
			shutdown(to, SHUT_WR);
			w->closed = true;
		}
		while (p->done < p->len) {
			ssize_t put = send(to, p->data + p->done, p->len - p->done, MSG_NOSIGNAL);

			if (put < 0 && errno == EAGAIN)
				return;
			if (put <= 0) {
				/* Nobody is there any more: it is dropped. */
				w->ended = w->closed = true;
				p->done = p->len;
				break;
			}
			p->done += (uint32_t)put;
			bytes += down ? (uint64_t)put : 0;
		}
		w->first = (w->first + 1) % QUEUE;
		w->count--;
		w->left--;
	}
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t next_event(const struct way *w)
{
	uint64_t at = FOREVER;

	if (w->left > 0)
		at = w->ring[w->first].at;
	if (w->left < w->count && w->acks > 0)
		at = earlier(at, w->ack_at[w->ack_first]);
	return at;
}

static void move_bytes(struct connection *c, uint64_t now)
{
	take_in(c, &c->up, c->client, false, now);
	take_in(c, &c->down, c->server, true, now);
	take_acks(&c->down, now);
	give_out(&c->up, c->server, false, now);
	give_out(&c->down, c->client, true, now);
	if (c->up.closed && c->down.closed) {
		close(c->client);
		close(c->server);
		c->client = -1;
	}
}

static void answer(void)
{
	char line[64];

	if (read(STDIN_FILENO, line, sizeof(line)) <= 0)
		exit(0);
	printf("%llu %llu %llu\n", (unsigned long long)bytes, (unsigned long long)connections,
	       (unsigned long long)requests);
	bytes = connections = requests = 0;
}

static short wanted(const struct way *in, const struct way *out, uint64_t now)
{
	short events = in->count < QUEUE && !in->ended ? POLLIN : 0;

	if (out->left > 0 && out->ring[out->first].at <= now)
		events |= POLLOUT;
	return events;
}

static void serve(int listener, int server_port)
{
	for (;;) {
		struct pollfd fds[2 + 2 * CONNECTIONS] = {{.fd = STDIN_FILENO, .events = POLLIN},
							  {.fd = listener, .events = POLLIN}};
		uint64_t now = now_ns(), next = FOREVER;
		struct timespec wait;
		nfds_t n = 2;

		for (int i = 0; i < CONNECTIONS; i++) {
			if (all[i].client >= 0)
				move_bytes(&all[i], now);
		}
		next = send_down(now);
		for (int i = 0; i < CONNECTIONS; i++) {
			struct connection *c = &all[i];

			if (c->client < 0)
				continue;
			fds[n++] = (struct pollfd){.fd = c->client,
						   .events = wanted(&c->up, &c->down, now)};
			fds[n++] = (struct pollfd){.fd = c->server,
						   .events = wanted(&c->down, &c->up, now)};
			if (fds[n - 1].events == 0)
				fds[n - 1].fd = -1;
			if (fds[n - 2].events == 0)
				fds[n - 2].fd = -1;
			if (!(fds[n - 2].events & POLLOUT))
				next = earlier(next, next_event(&c->down));
			if (!(fds[n - 1].events & POLLOUT))
				next = earlier(next, next_event(&c->up));
		}
		now = now_ns();
		next = next == FOREVER ? 1000000000u : next > now ? next - now : 0;
		wait = (struct timespec){(time_t)(next / 1000000000u), (long)(next % 1000000000u)};
		if (ppoll(fds, n, &wait, NULL) <= 0)
			continue;
		if (fds[0].revents != 0)
			answer();
		if (fds[1].revents != 0)
			take_client(listener, server_port);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const struct sched_param first = {.sched_priority = 1};
	socklen_t len = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (argc < 4) {
		fprintf(stderr, "usage: link SERVER_PORT MBIT RTT_MS [slow]\n");
		return 2;
	}
	ns_a_byte = 8e3 / atof(argv[2]);
	delay = (uint64_t)(atof(argv[3]) * 1e6 / 2);
	slow = argc > 4 && strcmp(argv[4], "slow") == 0;
	for (int i = 0; i < CONNECTIONS; i++)
		all[i].client = -1;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_TIMERSLACK, 1000);
	(void)sched_setscheduler(0, SCHED_FIFO, &first);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (bind(listener, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(listener, 128) < 0 ||
	    getsockname(listener, (struct sockaddr *)&at, &len) < 0)
		die("listen");
	printf("%u\n", ntohs(at.sin_port));
	serve(listener, atoi(argv[1]));
	return 0;
}
