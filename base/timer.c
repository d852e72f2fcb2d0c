/* See timer.h. */
#include "base/timer.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/num.h"

/* A timer that was set again after it expired has nothing to be read. */
static void on_time(struct loop_watch *watch, uint32_t events)
{
	struct timer *t = container_of(watch, struct timer, watch);
	uint64_t times;

	(void)events;
	if (read(t->fd, &times, sizeof(times)) == (ssize_t)sizeof(times))
		t->fn(t->opaque);
}

int timer_open(struct timer *t, struct loop *loop, void (*fn)(void *opaque), void *opaque,
	       struct err *err)
{
	int ret;

	*t = (struct timer){.loop = loop, .watch = {.fd = -1}, .fn = fn, .opaque = opaque};
	t->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (t->fd < 0)
		return err_sys(err, errno, "timerfd");
	ret = loop_add(loop, &t->watch, t->fd, EPOLLIN, on_time, err);
	if (ret < 0)
		timer_close(t);
	return ret;
}

void timer_close(struct timer *t)
{
	if (t->fd < 0)
		return;
	loop_del(t->loop, &t->watch);
	close(t->fd);
	t->fd = -1;
}

void timer_set(struct timer *t, unsigned milliseconds)
{
	struct itimerspec in = {
		.it_value = {milliseconds / 1000, (long)(milliseconds % 1000) * 1000000},
	};

	if (t->fd >= 0)
		(void)timerfd_settime(t->fd, 0, &in, NULL);
}
