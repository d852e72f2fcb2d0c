/*
 * libslirp's sockets and timers on the machine's loop; see net_user_internal.h.
 *
 * libslirp works in rounds of poll(2): it is asked what it waits for (fill), and told what is ready
 * (poll). Here each of its sockets is a watch of the loop. What comes in one round of the loop is
 * remembered by the watches' callbacks, and the loop's hook tells it in one call and asks
 * again.
 *
 * A watch follows what is asked for lazily, because each change is a system call: events are
 * added at once, and taken away when one comes that libslirp does not wait for. Sockets that
 * libslirp does not wait for at all are not watched then, for a hang-up cannot be muted.
 *
 * A guest without room for more frames holds up everything here: nothing is read for it, so that
 * TCP's own back-pressure reaches the sender.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "devices/net/net_user_internal.h"

/* Milliseconds: */
#define IDLE	  1000u /* what libslirp says when it waits for no time */
#define CLOCK_LAG 100	/* that its clock may have */

struct user_socket {
	struct loop_watch watch;
	struct net_user *user;
	int fd;
	uint32_t round; /* when libslirp asked for it last, */
	int wanted;	/* and for what: SLIRP_POLL_* */
	int came;
};

static const struct {
	int slirp;
	uint32_t epoll;
} events_table[] = {
	{SLIRP_POLL_IN, EPOLLIN},   {SLIRP_POLL_OUT, EPOLLOUT}, {SLIRP_POLL_PRI, EPOLLPRI},
	{SLIRP_POLL_ERR, EPOLLERR}, {SLIRP_POLL_HUP, EPOLLHUP},
};

static uint32_t to_epoll(int events)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < ARRAY_SIZE(events_table); i++)
		bits |= events & events_table[i].slirp ? events_table[i].epoll : 0;
	return bits;
}

static int from_epoll(uint32_t bits)
{
	int events = 0;

	for (size_t i = 0; i < ARRAY_SIZE(events_table); i++)
		events |= bits & events_table[i].epoll ? events_table[i].slirp : 0;
	return events;
}

int64_t user_now_ns(void)
{
	return (int64_t)clock_monotonic_ns();
}

static int64_t user_now_ms(void)
{
	return user_now_ns() / 1000000;
}

static bool user_is_blocked(const struct net_user *u)
{
	return !u->running || u->queue != NULL;
}

/* Sockets. */

static void on_slirp_socket(struct loop_watch *watch, uint32_t bits)
{
	struct user_socket *s = container_of(watch, struct user_socket, watch);
	struct net_user *u = s->user;
	int wanted = !user_is_blocked(u) && s->round == u->round ? s->wanted : 0;
	int came = from_epoll(bits) & wanted;

	if (wanted == 0) {
		loop_del(u->loop, watch);
		return;
	}
	if (came == 0)
		loop_mod(u->loop, watch, to_epoll(wanted));
	s->came |= came;
	u->ready |= came != 0;
}

/* NULL: no memory. */
static struct user_socket *socket_of(struct net_user *u, int fd)
{
	size_t needed = (size_t)fd + 1;
	struct user_socket **table;

	if (needed > u->nsockets) {
		needed = align_up(needed, 64);
		table = realloc(u->socket, needed * sizeof(struct user_socket *));
		if (table == NULL)
			return NULL;
		memset(table + u->nsockets, 0, (needed - u->nsockets) * sizeof(*table));
		u->socket = table;
		u->nsockets = needed;
	}
	if (u->socket[fd] == NULL) {
		struct user_socket *s = calloc(1, sizeof(*s));

		if (s == NULL)
			return NULL;
		s->watch.fd = -1;
		s->user = u;
		s->fd = fd;
		u->socket[fd] = s;
	}
	return u->socket[fd];
}

void user_forget_socket(struct net_user *u, int fd)
{
	if (fd < 0 || (size_t)fd >= u->nsockets || u->socket[fd] == NULL)
		return;
	loop_del(u->loop, &u->socket[fd]->watch);
	free(u->socket[fd]);
	u->socket[fd] = NULL;
}

void user_reset_on_close(int fd)
{
	static const struct linger none = {.l_onoff = 1};

	/* Of no consequence for those that listen, and for UDP. */
	if (fd >= 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
}

void user_reset_all_on_close(struct net_user *u)
{
	for (size_t i = 0; i < u->nsockets; i++) {
		if (u->socket[i] != NULL)
			user_reset_on_close(u->socket[i]->fd);
	}
}

/* libslirp waits for `events` of `fd` (SlirpAddPollCb). */
static int on_add_poll(int fd, int events, void *opaque)
{
	struct net_user *u = opaque;
	struct user_socket *s = socket_of(u, fd);
	struct loop *loop = u->loop;
	uint32_t bits = to_epoll(events);

	if (s == NULL)
		return -1;
	s->round = u->round;
	s->wanted = events;
	if (s->watch.fd < 0)
		(void)loop_add(loop, &s->watch, fd, bits, on_slirp_socket, NULL);
	else if ((s->watch.events & bits) != bits)
		loop_mod(loop, &s->watch, bits);
	return fd;
}

static int on_get_revents(int fd, void *opaque)
{
	struct net_user *u = opaque;
	struct user_socket *s = (size_t)fd < u->nsockets ? u->socket[fd] : NULL;
	int came = 0;

	if (s != NULL) {
		came = s->came;
		s->came = 0;
	}
	return came;
}

struct search {
	struct net_user *user;
	int found;
};

static int look_for_new(int fd, int events, void *opaque)
{
	struct search *search = opaque;
	const struct net_user *u = search->user;

	(void)events;
	if ((size_t)fd >= u->nsockets || u->socket[fd] == NULL)
		search->found = fd;
	return -1;
}

int user_new_socket(struct net_user *u)
{
	struct search search = {.user = u, .found = -1};
	uint32_t timeout = UINT32_MAX;

	u->api->fill(u->slirp, &timeout, look_for_new, &search);
	u->changed = true;
	if (search.found >= 0 && socket_of(u, search.found) == NULL)
		return -1;
	return search.found;
}

/* Time. */

static void arm_clock(struct net_user *u, int64_t due)
{
	struct itimerspec when = {
		.it_value = {.tv_sec = due / 1000, .tv_nsec = due % 1000 * 1000000}};

	if (due >= u->armed)
		return;
	u->armed = due;
	(void)timerfd_settime(u->clock.fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static void on_user_clock(struct loop_watch *watch, uint32_t events)
{
	struct net_user *u = container_of(watch, struct net_user, clock);
	uint64_t ignored;

	(void)events;
	if (read(watch->fd, &ignored, sizeof(ignored)) != sizeof(ignored))
		return;
	u->armed = INT64_MAX;
	u->changed = true;
}

void *user_timer_new(struct net_user *u, SlirpTimerId id, void *opaque)
{
	for (unsigned i = 0; i < USER_MAX_TIMERS; i++) {
		if (u->timer[i].user != NULL)
			continue;
		u->timer[i] = (struct user_timer){
			.user = u, .id = id, .opaque = opaque, .due = INT64_MAX};
		return &u->timer[i];
	}
	return NULL;
}

void user_timer_mod(struct user_timer *timer, int64_t due)
{
	timer->due = due;
	timer->user->changed = true;
}

void user_timer_free(struct user_timer *timer)
{
	timer->user = NULL;
}

static void slirp_serve_timers(struct net_user *u, int64_t now)
{
	for (unsigned i = 0; i < USER_MAX_TIMERS; i++) {
		struct user_timer *timer = &u->timer[i];

		if (timer->user == NULL || timer->due > now)
			continue;
		timer->due = INT64_MAX;
		u->api->handle_timer(u->slirp, timer->id, timer->opaque);
	}
}

static int64_t next_timer(const struct net_user *u)
{
	int64_t due = u->due;

	for (unsigned i = 0; i < USER_MAX_TIMERS; i++) {
		if (u->timer[i].user != NULL && u->timer[i].due < due)
			due = u->timer[i].due;
	}
	return due;
}

/* Rounds. The card interrupts the guest in a hook of its own, which is older and so comes after
 * this one. */

static void slirp_ask(struct net_user *u, int64_t now)
{
	uint32_t timeout = UINT32_MAX;

	u->changed = false;
	u->round++;
	u->api->fill(u->slirp, &timeout, on_add_poll, u);
	if (timeout >= IDLE)
		u->due = INT64_MAX;
	else if (now + timeout + 1 < u->due)
		u->due = now + timeout + 1; /* its clock may be a tick ahead of ours */
	arm_clock(u, next_timer(u));
}

static void slirp_call(struct net_user *u, int64_t now)
{
	u->ready = false;
	u->due = INT64_MAX;
	u->called = now;
	u->api->poll(u->slirp, 0, on_get_revents, u);
}

static void slirp_serve(struct net_user *u)
{
	int64_t now;

	if (user_is_blocked(u) || !(u->ready || u->changed))
		return;
	now = user_now_ms();
	slirp_serve_timers(u, now);
	if (u->ready || u->due <= now)
		slirp_call(u, now);
	/* The rest waits until the guest has room. */
	if (!user_is_blocked(u))
		slirp_ask(u, now);
}

static void on_user_round(struct loop_hook *hook)
{
	slirp_serve(container_of(hook, struct net_user, hook));
}

void user_loop_clock(struct net_user *u)
{
	int64_t now = user_now_ms();

	if (now - u->called >= CLOCK_LAG)
		slirp_call(u, now);
}

void user_loop_changed(struct net_user *u, bool ready)
{
	u->changed = true;
	u->ready |= ready;
	if (u->loop->waiting)
		slirp_serve(u);
}

void user_loop_start(struct net_user *u)
{
	/* The card may not be able to take frames before this returns. */
	u->changed = u->ready = true;
	u->running = true;
	if (u->loop->waiting)
		arm_clock(u, user_now_ms());
}

void user_loop_stop(struct net_user *u)
{
	u->running = false;
	for (size_t i = 0; i < u->nsockets; i++) {
		if (u->socket[i] != NULL)
			loop_del(u->loop, &u->socket[i]->watch);
	}
}

int user_loop_open(struct net_user *u, struct err *err)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC), ret;

	u->armed = u->due = INT64_MAX;
	u->clock.fd = -1;
	if (fd < 0)
		return err_sys(err, errno, "create a timer");
	ret = loop_add(u->loop, &u->clock, fd, EPOLLIN, on_user_clock, err);
	if (ret < 0) {
		close(fd);
		return ret;
	}
	loop_hook(u->loop, &u->hook, on_user_round);
	return 0;
}

void user_loop_close(struct net_user *u)
{
	int fd = u->clock.fd;

	loop_unhook(u->loop, &u->hook);
	loop_del(u->loop, &u->clock);
	if (fd >= 0)
		close(fd);
	for (size_t i = 0; i < u->nsockets; i++)
		user_forget_socket(u, (int)i);
	free(u->socket);
}
