/* See outlet.h. */
#include "instance/outlet.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/num.h"

#define CHUNK_TERMINAL 256u  /* a terminal that is writable takes this much */
#define CHUNK_OTHER    4096u /* PIPE_BUF: a pipe that is writable takes it whole (pipe(7)) */

void outlet_init(struct outlet *o, struct loop *loop, int fd)
{
	*o = (struct outlet){
		.loop = loop,
		.fd = fd,
		.chunk = isatty(fd) ? CHUNK_TERMINAL : CHUNK_OTHER,
		.watch = {.fd = -1},
	};
}

void outlet_free(struct outlet *o)
{
	loop_del(o->loop, &o->watch);
	free(o->queue);
	*o = (struct outlet){.loop = o->loop, .fd = -1, .watch = {.fd = -1}};
}

/* The reader is gone. */
static void outlet_drop(struct outlet *o)
{
	loop_del(o->loop, &o->watch);
	o->fd = -1;
	o->len = 0;
}

/* Write what goes without blocking for longer than `timeout_ms`; returns how much. */
static size_t write_some(struct outlet *o, const uint8_t *data, size_t len, int timeout_ms)
{
	size_t done = 0;

	while (done < len && o->fd >= 0) {
		struct pollfd pfd = {.fd = o->fd, .events = POLLOUT};
		ssize_t wrote;

		if (poll(&pfd, 1, timeout_ms) <= 0)
			break;
		wrote = write(o->fd, data + done, u64_min(len - done, o->chunk));
		if (wrote >= 0)
			done += (size_t)wrote;
		else if (errno == EAGAIN)
			break;
		else if (errno != EINTR)
			outlet_drop(o);
	}
	return done;
}

/* Write the queue's front until it is empty or nothing goes. */
static void flush_queue(struct outlet *o, int timeout_ms)
{
	while (o->len > 0) {
		size_t run = u64_min(o->len, OUTLET_QUEUE_MAX - o->start);
		size_t done = write_some(o, o->queue + o->start, run, timeout_ms);

		if (done == 0)
			break;
		o->start = (o->start + done) % OUTLET_QUEUE_MAX;
		o->len -= done;
	}
}

static void on_outlet_room(struct loop_watch *watch, uint32_t events)
{
	struct outlet *o = container_of(watch, struct outlet, watch);

	if ((events & (EPOLLERR | EPOLLHUP)) != 0)
		outlet_drop(o);
	else
		flush_queue(o, 0);
	if (o->len == 0)
		loop_del(o->loop, &o->watch);
}

static void outlet_enqueue(struct outlet *o, const uint8_t *data, size_t len)
{
	size_t end, run;

	if (o->queue == NULL)
		o->queue = malloc(OUTLET_QUEUE_MAX);
	if (o->queue == NULL)
		return;
	len = u64_min(len, OUTLET_QUEUE_MAX - o->len);
	end = (o->start + o->len) % OUTLET_QUEUE_MAX;
	run = u64_min(len, OUTLET_QUEUE_MAX - end);
	memcpy(o->queue + end, data, run);
	memcpy(o->queue, data + run, len - run);
	o->len += len;
	if (o->watch.fd < 0)
		(void)loop_add(o->loop, &o->watch, o->fd, EPOLLOUT, on_outlet_room, NULL);
}

void outlet_write(struct outlet *o, const uint8_t *data, size_t len)
{
	size_t done = o->len == 0 ? write_some(o, data, len, 0) : 0;

	if (o->fd >= 0 && done < len)
		outlet_enqueue(o, data + done, len - done);
}

void outlet_drain(struct outlet *o, int timeout_ms)
{
	flush_queue(o, timeout_ms);
}
