/* Frames that were in hand when the machine was stopped, as saved state; see net_internal.h.
 * Machine lock held. */
#include <errno.h>

#include "base/assert.h"
#include "base/num.h"
#include "devices/virtio/net_internal.h"

#define LENGTH 4u

static_assert(offsetof(struct virtio_net_state, second) ==
		      offsetof(struct virtio_net_state, first) + VIRTIO_NET_BACKLOG_PART,
	      "both parts are one area");

static uint8_t *area(struct virtio_net_state *s)
{
	return (uint8_t *)s + offsetof(struct virtio_net_state, first);
}

static void set_bytes(struct virtio_net_state *s, size_t bytes)
{
	s->backlog_first = (uint32_t)u64_min(bytes, VIRTIO_NET_BACKLOG_PART);
	s->backlog_second = (uint32_t)bytes - s->backlog_first;
}

int net_backlog_add(struct virtio_net_state *s, const struct iovec *iov, unsigned niov, size_t len)
{
	size_t used = net_backlog_bytes(s);
	uint8_t *at = area(s) + used;

	if (LENGTH + len > VIRTIO_NET_BACKLOG - used)
		return -EAGAIN;
	le_put32(at, (uint32_t)len);
	net_gather(iov, niov, 0, at + LENGTH, len);
	set_bytes(s, used + LENGTH + len);
	return 0;
}

bool net_backlog_deliver(struct virtio_net *n)
{
	size_t bytes = net_backlog_bytes(&n->s), done = 0;
	uint8_t *start = area(&n->s);

	while (done < bytes) {
		struct iovec iov = {
			.iov_base = start + done + LENGTH,
			.iov_len = le_get32(start + done),
		};

		if (net_deliver(n, &iov, 1, iov.iov_len) == -EAGAIN)
			break;
		done += LENGTH + iov.iov_len;
	}
	if (done > 0) {
		memmove(start, start + done, bytes - done);
		set_bytes(&n->s, bytes - done);
	}
	return done == bytes;
}

void net_backlog_clear(struct virtio_net_state *s)
{
	set_bytes(s, 0);
}

bool net_backlog_valid(const struct virtio_net_state *s)
{
	size_t bytes = net_backlog_bytes(s), at = 0;
	const uint8_t *start = (const uint8_t *)s + offsetof(struct virtio_net_state, first);

	if (s->backlog_second > 0 && s->backlog_first != VIRTIO_NET_BACKLOG_PART)
		return false;
	while (at < bytes) {
		uint32_t len;

		if (bytes - at < LENGTH)
			return false;
		len = le_get32(start + at);
		if (len < NET_HEADER_SIZE + 14 || len > NET_MESSAGE_MAX ||
		    len > bytes - at - LENGTH)
			return false;
		at += LENGTH + len;
	}
	return true;
}
