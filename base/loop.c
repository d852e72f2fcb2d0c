/*
 * The event loop; see loop.h. epoll_wait runs without the lock; a batch of ready watches is served
 * under it. A watch deleted since the batch was fetched, by one of its callbacks or by a vCPU
 * thread while the loop waited for the lock, must not be called: the owner may have freed it.
 * loop_del therefore cuts the batch short, and epoll reports the rest again (the watches are
 * level-triggered).
 */
#include "base/loop.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/num.h"

#define BATCH 16

int loop_init(struct loop *loop, pthread_mutex_t *lock, struct err *err)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};

	*loop = (struct loop){.epoll_fd = -1, .stop_fd = -1, .lock = lock};
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->epoll_fd < 0 || loop->stop_fd < 0 ||
	    epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->stop_fd, &event) < 0) {
		int ret = err_sys(err, errno, "create the event loop");

		loop_free(loop);
		return ret;
	}
	return 0;
}

void loop_free(struct loop *loop)
{
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	if (loop->stop_fd >= 0)
		close(loop->stop_fd);
	loop->epoll_fd = loop->stop_fd = -1;
}

int loop_add(struct loop *loop, struct loop_watch *watch, int fd, uint32_t events, loop_fn *fn,
	     struct err *err)
{
	struct epoll_event event = {.events = events, .data.ptr = watch};

	*watch = (struct loop_watch){.fd = fd, .events = events, .fn = fn};
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
		watch->fd = -1;
		return err_sys(err, errno, "watch descriptor %d", fd);
	}
	return 0;
}

void loop_mod(struct loop *loop, struct loop_watch *watch, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = watch};

	if (watch->fd < 0 || watch->events == events)
		return;
	watch->events = events;
	(void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, watch->fd, &event);
}

void loop_del(struct loop *loop, struct loop_watch *watch)
{
	if (watch->fd < 0)
		return;
	(void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
	watch->fd = -1;
	loop->deleted = true;
}

/* Serve one batch with the lock held. */
static void loop_serve(struct loop *loop, const struct epoll_event *ready, int count)
{
	for (int i = 0; i < count && !loop->deleted; i++) {
		struct loop_watch *watch = ready[i].data.ptr;

		if (watch == NULL)
			loop->stopping = true;
		else
			watch->fn(watch, ready[i].events);
	}
}

void loop_hook(struct loop *loop, struct loop_hook *hook, loop_hook_fn *fn)
{
	*hook = (struct loop_hook){.fn = fn, .next = loop->hooks};
	loop->hooks = hook;
}

void loop_unhook(struct loop *loop, struct loop_hook *hook)
{
	struct loop_hook **at = &loop->hooks;

	while (*at != NULL && *at != hook)
		at = &(*at)->next;
	if (*at != NULL)
		*at = hook->next;
}

static void loop_call_hooks(const struct loop *loop)
{
	struct loop_hook *next;

	for (struct loop_hook *hook = loop->hooks; hook != NULL; hook = next) {
		next = hook->next;
		hook->fn(hook);
	}
}

int loop_run(struct loop *loop, struct err *err)
{
	struct epoll_event ready[BATCH];
	eventfd_t ignored;
	int count;

	loop->stopping = false;
	pthread_mutex_lock(loop->lock);
	while (!loop->stopping) {
		loop_call_hooks(loop);
		loop->deleted = false;
		loop->waiting = true;
		pthread_mutex_unlock(loop->lock);
		count = epoll_wait(loop->epoll_fd, ready, BATCH, -1);
		if (count < 0 && errno != EINTR)
			return err_sys(err, errno, "wait for events");
		pthread_mutex_lock(loop->lock);
		loop->waiting = false;
		loop_serve(loop, ready, count);
	}
	pthread_mutex_unlock(loop->lock);
	(void)eventfd_read(loop->stop_fd, &ignored);
	return 0;
}

void loop_poll(struct loop *loop)
{
	struct epoll_event ready;

	/* One at a time: a callback may have let another thread delete watches. */
	for (int i = 0; i < BATCH && epoll_wait(loop->epoll_fd, &ready, 1, 0) == 1; i++) {
		loop->deleted = false;
		loop_serve(loop, &ready, 1);
	}
}

void loop_stop(struct loop *loop)
{
	(void)eventfd_write(loop->stop_fd, 1);
}
