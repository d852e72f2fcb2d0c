/* See listener.h. */
#include "host/listener.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/num.h"
#include "base/unix_socket.h"

static void listener_resume(void *opaque)
{
	struct listener *listener = opaque;

	loop_mod(listener->loop, &listener->watch, EPOLLIN);
}

static void on_listener(struct loop_watch *watch, uint32_t events)
{
	struct listener *listener = container_of(watch, struct listener, watch);
	int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd >= 0) {
		listener->accepted(listener, fd);
		return;
	}
	if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
		loop_mod(listener->loop, &listener->watch, 0);
		timer_set(&listener->retry, LISTENER_RETRY_MS);
	}
}

int listener_take(struct listener *listener, struct loop *loop, int fd,
		  void (*accepted)(struct listener *listener, int fd), struct err *err)
{
	int ret;

	*listener = (struct listener)LISTENER_CLOSED;
	listener->loop = loop;
	listener->accepted = accepted;
	listener->fd = fd;
	ret = timer_open(&listener->retry, loop, listener_resume, listener, err);
	if (ret == 0)
		ret = loop_add(loop, &listener->watch, listener->fd, EPOLLIN, on_listener, err);
	if (ret < 0)
		listener_close(listener);
	return ret;
}

int listener_open(struct listener *listener, struct loop *loop, const char *path,
		  void (*accepted)(struct listener *listener, int fd), struct err *err)
{
	int fd = unix_listen(path, err);

	if (fd < 0) {
		*listener = (struct listener)LISTENER_CLOSED;
		return fd;
	}
	return listener_take(listener, loop, fd, accepted, err);
}

void listener_close(struct listener *listener)
{
	if (listener->fd < 0)
		return;
	loop_del(listener->loop, &listener->watch);
	timer_close(&listener->retry);
	close(listener->fd);
	listener->fd = -1;
}
