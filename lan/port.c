/* See port.h. */
#include "lan/port.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/num.h"
#include "devices/net/net_offload.h"

#define PORT_SOCKET_BUFFER (4 << 20) /* asked for */

static_assert(PORT_IN_SIZE >= LAN_WIRE_MAX, "a message fits");
static_assert(PORT_OUT_SIZE >= 2 * LAN_WIRE_MAX + PORT_SHARE, "a message cut for QEMU fits");

int port_new(struct port **out, const struct port_params *params, int fd, struct err *err)
{
	struct port *port = calloc(1, sizeof(*port));
	static const int size = PORT_SOCKET_BUFFER;

	if (port != NULL)
		port->in = malloc(PORT_IN_SIZE);
	if (port == NULL || port->in == NULL) {
		free(port);
		close(fd);
		return err_sys(err, ENOMEM, "a port of the LAN");
	}
	port->lan = params->lan;
	port->loop = params->loop;
	port->lost = params->lost;
	port->kind = params->kind;
	port->state = port->kind == PORT_QEMU ? PORT_UP : PORT_GREETING;
	port->fd = fd;
	port->watch.fd = -1;
	port->last_waiter = &port->waiters;
	/* The kernel gives what it is allowed to. */
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	*out = port;
	return 0;
}

void port_free(struct port *port)
{
	loop_del(port->loop, &port->watch);
	close(port->fd);
	free(port->in);
	free(port->out);
	free(port);
}

enum framing port_framing(const struct port *port)
{
	static const enum framing framings[] = {
		[PORT_MACHINE] = FRAMING_NATIVE,
		[PORT_QEMU] = FRAMING_QEMU,
		[PORT_TRUNK] = FRAMING_TRUNK,
	};

	return framings[port->kind];
}

void port_lose(struct port *port)
{
	if (port->state == PORT_GONE)
		return;
	port->state = PORT_GONE;
	port->lost(port);
}

bool port_read(struct port *port)
{
	ssize_t got;

	if (port->in_at > 0) {
		port->in_end -= port->in_at;
		memmove(port->in, port->in + port->in_at, port->in_end);
		port->in_at = 0;
	}
	got = recv(port->fd, port->in + port->in_end, PORT_IN_SIZE - port->in_end, MSG_DONTWAIT);
	if (got > 0) {
		port->in_end += (uint32_t)got;
		return true;
	}
	if (got == 0 || (errno != EAGAIN && errno != EINTR))
		port_lose(port);
	return false;
}

size_t port_write(struct port *port, const void *data, size_t len)
{
	ssize_t sent;

	assert(port_queued(port) == 0);
	sent = send(port->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent >= 0)
		return (size_t)sent;
	if (errno != EAGAIN && errno != EINTR)
		port_lose(port);
	return 0;
}

static bool port_make_room(struct port *port, size_t len)
{
	uint32_t queued = port_queued(port);

	if (len > PORT_OUT_SIZE - queued)
		return false;
	if (port->out == NULL)
		port->out = malloc(PORT_OUT_SIZE);
	if (port->out == NULL)
		return false;
	if (len > PORT_OUT_SIZE - port->out_end) {
		memmove(port->out, port->out + port->out_at, queued);
		port->out_at = 0;
		port->out_end = queued;
	}
	return true;
}

bool port_queue(struct port *port, const void *data, size_t len)
{
	if (!port_make_room(port, len))
		return false;
	memcpy(port->out + port->out_end, data, len);
	port->out_end += (uint32_t)len;
	return true;
}

bool port_flush(struct port *port)
{
	uint32_t queued = port_queued(port);
	ssize_t sent;

	if (queued == 0)
		return false;
	sent = send(port->fd, port->out + port->out_at, queued, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent < 0 && errno != EAGAIN && errno != EINTR)
		port_lose(port);
	if (sent <= 0)
		return false;
	port->out_at += (uint32_t)sent;
	if (port_queued(port) == 0) {
		port->out_at = port->out_end = 0;
		memset(port->left_by, 0, sizeof(port->left_by));
	}
	return true;
}

static bool queue_parts(struct port *port, const uint8_t *header, const uint8_t *frame, size_t len)
{
	uint8_t head[FRAMING_HEAD_MAX];
	size_t head_len = framing_head(port_framing(port), header, len, head);

	return port_make_room(port, head_len + len) && port_queue(port, head, head_len) &&
	       port_queue(port, frame, len);
}

static int queue_plain(void *opaque, const uint8_t *frame, size_t len)
{
	return queue_parts(opaque, NULL, frame, len) ? 0 : -ENOBUFS;
}

bool port_queue_frame(struct port *port, const struct message *message,
		      uint8_t scratch[NET_FRAME_MAX])
{
	struct virtio_net_hdr_v1 header = {0};

	if (message->header != NULL)
		memcpy(&header, message->header, sizeof(header));
	if (port->kind != PORT_QEMU ||
	    (header.flags == 0 && header.gso_type == VIRTIO_NET_HDR_GSO_NONE))
		return queue_parts(port, message->header, message->frame, message->len);
	memcpy(scratch, message->frame, message->len);
	return net_plain(&header, scratch, message->len, queue_plain, port) == 0;
}

void port_wait(struct port *source, struct port *destination, uint64_t now_ms)
{
	assert(source->waits_for == NULL);
	if (destination->waiters == NULL && port_queued(destination) == 0)
		destination->progress_ms = now_ms;
	source->waits_for = destination;
	source->next_waiter = NULL;
	*destination->last_waiter = source;
	destination->last_waiter = &source->next_waiter;
}

struct port *port_next_waiter(struct port *destination)
{
	struct port *source = destination->waiters;

	if (source == NULL)
		return NULL;
	destination->waiters = source->next_waiter;
	if (destination->waiters == NULL)
		destination->last_waiter = &destination->waiters;
	source->waits_for = NULL;
	return source;
}

void port_forget_waiting(struct port *source)
{
	struct port *destination = source->waits_for;
	struct port **link;

	if (destination == NULL)
		return;
	link = &destination->waiters;
	while (*link != source)
		link = &(*link)->next_waiter;
	*link = source->next_waiter;
	if (*link == NULL)
		destination->last_waiter = link;
	source->waits_for = NULL;
}

void port_update(struct port *port)
{
	uint32_t events = 0;

	if (port->state == PORT_GONE)
		return;
	if (port->waits_for == NULL)
		events |= EPOLLIN;
	if (port_queued(port) > 0 || port->waiters != NULL || port->stalled)
		events |= EPOLLOUT;
	loop_mod(port->loop, &port->watch, events);
}
