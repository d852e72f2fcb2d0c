/* What a service hands on, and what it tells who started it. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/num.h"
#include "service/notify.h"
#include "service/relay.h"
#include "service/restart.h"
#include "service/sockets.h"

#define MANY MIB(3)

static int listen_somewhere(uint16_t *port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert(eq(int, bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0));
	cr_assert(eq(int, listen(fd, 8), 0));
	cr_assert(eq(int, getsockname(fd, (struct sockaddr *)&addr, &len), 0));
	*port = ntohs(addr.sin_port);
	return fd;
}

/* A relay between pair[0], which is its client's end, and `served`. */
struct bench {
	pthread_mutex_t lock;
	struct loop loop;
	struct relays relays;
	unsigned ended;
	int pair[2], served;
};

static void on_ended(void *opaque)
{
	struct bench *b = opaque;

	b->ended++;
}

static void bench_open(struct bench *b)
{
	uint16_t port;
	int listener = listen_somewhere(&port);

	*b = (struct bench){.lock = PTHREAD_MUTEX_INITIALIZER};
	cr_assert(eq(int, loop_init(&b->loop, &b->lock, NULL), 0));
	relay_init(&b->relays, &b->loop, on_ended, b);
	cr_assert(eq(int, socketpair(AF_UNIX, SOCK_STREAM, 0, b->pair), 0));
	cr_assert(eq(int, relay_add(&b->relays, b->pair[1], port, NULL), 0));
	b->served = accept(listener, NULL, NULL);
	cr_assert(ge(int, b->served, 0));
	close(listener);
}

static void bench_close(struct bench *b)
{
	relay_end(&b->relays);
	loop_free(&b->loop);
	close(b->pair[0]);
	close(b->served);
}

/* Serve until the descriptor has something to read. */
static void until_readable(struct bench *b, int fd)
{
	struct pollfd p[2] = {{fd, POLLIN, 0}, {b->loop.epoll_fd, POLLIN, 0}};

	while (poll(p, 2, -1) > 0 && p[0].revents == 0) {
		pthread_mutex_lock(&b->lock);
		loop_poll(&b->loop);
		pthread_mutex_unlock(&b->lock);
	}
}

static void carry(struct bench *b, int from, int to)
{
	uint8_t *sent = malloc(MANY), *came = malloc(MANY);
	size_t out = 0, in = 0;

	for (size_t i = 0; i < MANY; i++)
		sent[i] = (uint8_t)(i * 2654435761u >> 13);
	while (in < MANY) {
		ssize_t n = out < MANY ? send(from, sent + out, MANY - out, MSG_DONTWAIT) : 0;

		out += n > 0 ? (size_t)n : 0;
		until_readable(b, to);
		n = recv(to, came + in, MANY - in, 0);
		cr_assert(ge(int, (int)n, 1));
		in += (size_t)n;
	}
	cr_expect(eq(int, memcmp(sent, came, MANY), 0));
	free(sent);
	free(came);
}

Test(service, bytes_go_both_ways_and_ends_follow)
{
	struct bench b;

	bench_open(&b);
	cr_expect(eq(uint, b.relays.open, 1));
	carry(&b, b.pair[0], b.served);
	carry(&b, b.served, b.pair[0]);
	/* The client says no more, and is still told something. */
	shutdown(b.pair[0], SHUT_WR);
	until_readable(&b, b.served);
	cr_expect(eq(int, (int)recv(b.served, &(char){0}, 1, 0), 0));
	cr_expect(eq(uint, b.relays.open, 0));
	cr_expect(eq(uint, b.relays.count, 1));
	cr_expect(eq(uint, b.ended, 1));
	carry(&b, b.served, b.pair[0]);
	shutdown(b.served, SHUT_WR);
	until_readable(&b, b.pair[0]);
	cr_expect(eq(int, (int)recv(b.pair[0], &(char){0}, 1, 0), 0));
	cr_expect(eq(uint, b.relays.count, 0));
	cr_expect(eq(uint, b.ended, 1));
	bench_close(&b);
}

Test(service, a_reset_ends_both_sides)
{
	struct linger now = {1, 0};
	struct bench b;

	bench_open(&b);
	setsockopt(b.served, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(b.served);
	b.served = -1;
	until_readable(&b, b.pair[0]);
	cr_expect(eq(int, (int)recv(b.pair[0], &(char){0}, 1, 0), 0));
	cr_expect(eq(uint, b.relays.count, 0));
	cr_expect(eq(uint, b.relays.open, 0));
	bench_close(&b);
}

Test(service, nobody_at_the_port)
{
	struct bench b = {.lock = PTHREAD_MUTEX_INITIALIZER};
	uint16_t port;
	int pair[2];

	close(listen_somewhere(&port));
	cr_assert(eq(int, loop_init(&b.loop, &b.lock, NULL), 0));
	relay_init(&b.relays, &b.loop, NULL, NULL);
	cr_assert(eq(int, socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0));
	/* Refused at once, or when the answer comes. */
	if (relay_add(&b.relays, pair[1], port, NULL) == 0)
		until_readable(&b, pair[0]);
	cr_expect(eq(int, (int)recv(pair[0], &(char){0}, 1, 0), 0));
	cr_expect(eq(uint, b.relays.count, 0));
	close(pair[0]);
	loop_free(&b.loop);
}

static void told(int fd, const char *path, const char *text)
{
	char came[64];
	ssize_t n;

	setenv("NOTIFY_SOCKET", path, 1);
	notify("READY=%d", 1);
	n = recv(fd, came, sizeof(came) - 1, MSG_DONTWAIT);
	cr_assert(ge(int, (int)n, 0), "%s: nothing came", path);
	came[n] = '\0';
	cr_expect(eq(str, came, (char *)text));
}

Test(service, who_started_it_is_told)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	char name[64];
	int len = snprintf(name, sizeof(name), "@torpor-test-notify-%d", (int)getpid());

	memcpy(addr.sun_path + 1, name + 1, (size_t)len - 1);
	cr_assert(eq(int,
		     bind(fd, (struct sockaddr *)&addr,
			  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len)),
		     0));
	told(fd, name, "READY=1");
	/* Whoever does not listen is not waited for. */
	for (int i = 0; i < 10000; i++)
		notify("STATUS=waking");
	close(fd);
	/* Nobody is told, and nothing happens. */
	notify("READY=1");
	setenv("NOTIFY_SOCKET", "no/path", 1);
	notify("READY=1");
	unsetenv("NOTIFY_SOCKET");
	notify("READY=1");
}

static int taken(const char *pid, const char *fds, const char *names, const char *name,
		 struct err *err)
{
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", fds, 1);
	setenv("LISTEN_FDNAMES", names, 1);
	err_clear(err);
	return sockets_take(name, err);
}

Test(service, sockets_are_found_by_name)
{
	struct err err = {0};
	uint16_t port;
	int listener = listen_somewhere(&port), three = dup(3);
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	cr_assert(eq(int, dup2(listener, 3), 3));
	cr_expect(eq(int, taken(pid, "1", "web", "", &err), 3), "%s", err.text);
	cr_expect(eq(int, taken(pid, "1", "web", "web", &err), 3), "%s", err.text);
	cr_expect(eq(int, taken(pid, "2", "other:web", "other", &err), 3));
	cr_expect(eq(int, taken(pid, "1", "web", "we", &err), -EINVAL));
	cr_expect(eq(int, taken(pid, "1", "", "web", &err), -EINVAL));
	cr_expect(eq(int, taken(pid, "2", "a:b", "", &err), -EINVAL));
	cr_expect(not(zero(ptr, strstr(err.text, "say which"))));
	cr_expect(eq(int, taken("1", "1", "web", "", &err), -EINVAL));
	cr_expect(not(zero(ptr, strstr(err.text, "no socket was passed"))));
	cr_expect(eq(int, taken(pid, "100000", "web", "", &err), -EINVAL));
	/* What listens to nobody. */
	cr_assert(eq(int, dup2(socket(AF_INET, SOCK_STREAM, 0), 3), 3));
	cr_expect(eq(int, taken(pid, "1", "web", "", &err), -EINVAL));
	cr_expect(not(zero(ptr, strstr(err.text, "no socket that listens"))));
	if (three >= 0)
		dup2(three, 3);
}

Test(restart, words)
{
	static const char *const bad[] = {"",
					  "yes",
					  "on-failure:",
					  "on-failure:0",
					  "on-failure:-1",
					  "on-failure:2x",
					  "always:3",
					  "on-failure:1000001"};
	struct restart r;

	cr_assert(eq(int, restart_parse(&r, "no", NULL), 0));
	cr_assert(eq(int, (int)r.when, RESTART_NO));
	cr_assert(eq(int, restart_parse(&r, "always", NULL), 0));
	cr_assert(eq(int, (int)r.when, RESTART_ALWAYS));
	cr_assert(eq(int, restart_parse(&r, "on-failure:3", NULL), 0));
	cr_assert(eq(uint, r.most, 3));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_assert(eq(int, restart_parse(&r, bad[i], NULL), -EINVAL), "%s", bad[i]);
}

Test(restart, who_is_started_again)
{
	static const struct {
		const char *policy;
		enum restart_ending ending;
		bool again;
	} cases[] = {
		{"no", ENDED_BADLY, false},	   {"on-failure", ENDED_ASKED, false},
		{"on-failure", ENDED_WELL, false}, {"on-failure", ENDED_BADLY, true},
		{"always", ENDED_ASKED, false},	   {"always", ENDED_WELL, true},
		{"always", ENDED_BADLY, true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct restart r;

		cr_assert(eq(int, restart_parse(&r, cases[i].policy, NULL), 0));
		cr_assert(eq(int, restart_after(&r, cases[i].ending, 0) >= 0, cases[i].again),
			  "%zu", i);
	}
}

Test(restart, waits_twice_as_long_each_time)
{
	static const int delays[] = {100,  200,	  400,	 800,	1600,  3200,
				     6400, 12800, 25600, 51200, 60000, 60000};
	struct restart r;

	cr_assert(eq(int, restart_parse(&r, "always", NULL), 0));
	for (size_t i = 0; i < ARRAY_SIZE(delays); i++)
		cr_assert(eq(int, restart_after(&r, ENDED_BADLY, 1), delays[i]));
	/* It has lived for long. */
	cr_assert(eq(int, restart_after(&r, ENDED_BADLY, UINT64_C(10000000000)), 100));
	cr_assert(eq(int, restart_after(&r, ENDED_BADLY, 0), 200));
}

Test(restart, no_more_often_than_it_says)
{
	struct restart r;

	cr_assert(eq(int, restart_parse(&r, "on-failure:2", NULL), 0));
	cr_assert(eq(int, restart_after(&r, ENDED_BADLY, 0), 100));
	cr_assert(eq(int, restart_after(&r, ENDED_BADLY, 0), 200));
	cr_assert(eq(int, restart_after(&r, ENDED_BADLY, 0), -1));
}
