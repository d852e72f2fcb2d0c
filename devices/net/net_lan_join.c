/* Joining a LAN, and joining it again (net_lan_wire.h). At first the caller waits for the answer,
 * up to a second; later, while a guest runs, the loop does. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mac.h"
#include "base/num.h"
#include "base/unix_socket.h"
#include "devices/net/net_lan_internal.h"

#define ANSWER_MS     1000 /* the caller waits for all of it: the machine's loop stands still */
#define RETRY_NS      10000000L
#define PROBE_MS      1000
#define SOCKET_BUFFER (4 << 20) /* asked for; the kernel gives what it is allowed to */

/* Ask a switch, if there is one. */
static int ask_switch(struct net_lan *lan)
{
	static const int size = SOCKET_BUFFER;
	char line[LAN_WIRE_LINE_MAX];
	int len = snprintf(line, sizeof(line), LAN_WIRE_GREETING "port " MAC_FORMAT " %s\n",
			   MAC_ARGS(lan->mac), lan->machine);

	lan->fd = unix_connect(lan->socket, UNIX_NO_WAIT);
	if (lan->fd < 0)
		return lan->fd;
	(void)setsockopt(lan->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	lan->state = NET_LAN_ASKING;
	if (send(lan->fd, line, (size_t)len, MSG_NOSIGNAL) != len) {
		net_lan_leave(lan);
		return -EPIPE;
	}
	return 0;
}

static int join_refused(const struct net_lan *lan, char *line, struct err *err)
{
	line[strcspn(line, "\n")] = '\0';
	return err_set(err, ERR_FAILED, "LAN %s: %.300s", lan->name,
		       strncmp(line, "no ", 3) == 0 ? line + 3 : "its switch is of another kind");
}

/* Read on in the answer. 0: joined; -EAGAIN: it is not whole yet. */
static int read_answer(struct net_lan *lan, struct err *err)
{
	ssize_t got = recv(lan->fd, lan->in + lan->in_end, LAN_WIRE_LINE_MAX - lan->in_end - 1,
			   MSG_DONTWAIT);
	size_t len;

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return -EAGAIN;
	if (got <= 0)
		return err_set(err, ERR_FAILED, "LAN %s: its switch hung up", lan->name);
	lan->in_end += (uint32_t)got;
	lan->in[lan->in_end] = '\0';
	len = strcspn((char *)lan->in, "\n") + 1;
	if (len > lan->in_end && lan->in_end < LAN_WIRE_LINE_MAX - 1)
		return -EAGAIN;
	if (strncmp((char *)lan->in, "ok\n", 3) != 0)
		return join_refused(lan, (char *)lan->in, err);
	lan->in_at = (uint32_t)len; /* frames may follow */
	lan->state = NET_LAN_UP;
	return 0;
}

void net_lan_leave(struct net_lan *lan)
{
	loop_del(lan->loop, &lan->watch);
	if (lan->fd >= 0)
		close(lan->fd);
	lan->fd = -1;
	lan->state = NET_LAN_DOWN;
	lan->in_at = lan->in_end = lan->plain_at = lan->plain_end = 0;
	lan->rest_at = lan->rest_end = 0;
	lan->card_full = false;
}

/* ---- later ---- */

/* Each reason once. */
static void log_refusal(struct net_lan *lan, const struct err *err)
{
	if (strncmp(lan->refused, err->text, sizeof(lan->refused) - 1) == 0)
		return;
	snprintf(lan->refused, sizeof(lan->refused), "%.255s", err->text);
	log_line(lan->log, "%s", err->text);
}

void net_lan_read_answer(struct net_lan *lan)
{
	struct net_card *card = lan->backend.card;
	struct err err = {0};
	int ret = read_answer(lan, &err);

	if (ret == -EAGAIN)
		return;
	if (ret < 0) {
		log_refusal(lan, &err);
		net_lan_leave(lan);
		net_lan_start_probing(lan);
		return;
	}
	lan->refused[0] = '\0';
	log_line(lan->log, "LAN %s is joined", lan->name);
	card->ops->link(card, true);
	lan->backend.ops->ready(&lan->backend);
}

static void on_probe_timer(void *opaque)
{
	struct net_lan *lan = opaque;

	timer_set(&lan->probe_timer, PROBE_MS);
	if (lan->state != NET_LAN_DOWN || ask_switch(lan) < 0)
		return;
	net_lan_stop_probing(lan);
	net_lan_watch(lan);
}

void net_lan_start_probing(struct net_lan *lan)
{
	struct err err = {0};

	if (lan->probe_timer.fd >= 0)
		return;
	if (timer_open(&lan->probe_timer, lan->loop, on_probe_timer, lan, &err) < 0)
		log_line(lan->log, "LAN %s is not looked for: %s", lan->name, err.text);
	timer_set(&lan->probe_timer, PROBE_MS);
}

void net_lan_stop_probing(struct net_lan *lan)
{
	timer_close(&lan->probe_timer);
}

/* ---- at first ---- */

static int64_t join_now_ms(void)
{
	return (int64_t)(clock_monotonic_ns() / NS_PER_MS);
}

/* -EAGAIN: not in time, however many bytes of it have come. */
static int await_answer(struct net_lan *lan, int64_t deadline, struct err *err)
{
	struct pollfd pfd = {.fd = lan->fd, .events = POLLIN};
	int ret;

	do {
		int64_t left = deadline - join_now_ms();

		if (left <= 0 || poll(&pfd, 1, (int)left) == 0)
			return -EAGAIN;
		ret = read_answer(lan, err);
	} while (ret == -EAGAIN);
	return ret;
}

/* 1: its switch does not answer, and is left to the loop. */
static int join_lan(struct net_lan *lan, struct err *err)
{
	static const struct timespec pause = {.tv_nsec = RETRY_NS};
	int64_t deadline = join_now_ms() + ANSWER_MS;
	int ret;

	/* Many join at once: the queue of the switch's socket is full for a moment. */
	while ((ret = ask_switch(lan)) == -EAGAIN && join_now_ms() < deadline)
		nanosleep(&pause, NULL);
	if (ret == -ENOENT || ret == -ECONNREFUSED || ret == -ENOTDIR)
		return err_set(err, ERR_NOT_FOUND,
			       "there is no LAN %s: make it with torpor lan create %s", lan->name,
			       lan->name);
	if (ret < 0 && ret != -EAGAIN)
		return err_sys(err, -ret, "LAN %s", lan->name);
	if (ret == 0)
		ret = await_answer(lan, deadline, err);
	if (ret != -EAGAIN)
		return ret;
	log_line(lan->log, "LAN %s: its switch does not answer: the link is down until it does",
		 lan->name);
	return 1;
}

int net_lan_open(struct net_backend **out, struct loop *loop, const struct log *log,
		 const struct net_lan_params *params, struct err *err)
{
	struct net_lan *lan;
	int ret;

	if (strlen(params->socket) >= sizeof(lan->socket))
		return err_sys(err, ENAMETOOLONG, "%s", params->socket);
	lan = calloc(1, sizeof(*lan));
	if (lan == NULL)
		return err_sys(err, ENOMEM, "LAN %s", params->lan);
	lan->backend.ops = &net_lan_ops;
	lan->loop = loop;
	lan->log = log;
	lan->fd = lan->watch.fd = -1;
	lan->probe_timer = TIMER_CLOSED;
	snprintf(lan->name, sizeof(lan->name), "%s", params->lan);
	snprintf(lan->machine, sizeof(lan->machine), "%s", params->machine);
	memcpy(lan->mac, params->mac, NET_MAC_SIZE);
	strcpy(lan->socket, params->socket);
	ret = join_lan(lan, err);
	if (ret < 0) {
		lan->backend.ops->close(&lan->backend);
		return ret;
	}
	*out = &lan->backend;
	return ret;
}
