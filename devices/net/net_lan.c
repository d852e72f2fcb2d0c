/*
 * A port of a LAN; see net_lan.h. The greeting is in net_lan_join.c.
 *
 * A frame of the guest goes into the socket directly from guest memory; what the socket does not
 * take of it is kept, because the stream has to continue with it, and the card waits. What arrives
 * is read into a buffer, many frames at once, and given to the card from there; while that has no
 * room nothing is read, which the switch notices. When the switch goes away the link is down, and
 * it is looked for once a second.
 *
 * Machine lock. Between quiesce() and start() nothing is watched.
 */
#include "devices/net/net_lan.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/num.h"
#include "devices/net/net_lan_internal.h"
#include "devices/net/net_offload.h"

#define QUIESCE_MS    20 /* for the rest of a frame that the switch has half of */
#define QUIESCE_READS 16 /* more than the socket holds: others go on sending */

static struct net_lan *lan_from_backend(struct net_backend *b)
{
	return container_of(b, struct net_lan, backend);
}

static void lan_update_watch(struct net_lan *lan)
{
	uint32_t events = 0;

	if (!lan->card_full)
		events |= EPOLLIN;
	if (lan->blocked || lan->rest_at < lan->rest_end)
		events |= EPOLLOUT;
	loop_mod(lan->loop, &lan->watch, events);
}

/* ---- to the guest ---- */

static int lan_give(struct net_lan *lan, uint8_t *message, size_t len)
{
	struct net_card *card = lan->backend.card;
	struct iovec iov = {message, len};
	int ret = card->ops->receive(card, &iov, 1, len);

	lan->card_full = ret == -EAGAIN;
	return ret;
}

/* Does the guest take a frame with this header as it is? */
static bool lan_accepts_header(const struct net_lan *lan, const struct virtio_net_hdr_v1 *header)
{
	unsigned needs = header->flags != 0 ? NET_CHECKSUM : 0;

	switch (header->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		needs |= NET_TSO4;
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		needs |= NET_TSO6;
		break;
	}
	if (header->gso_type & VIRTIO_NET_HDR_GSO_ECN)
		needs |= NET_ECN;
	return (needs & ~lan->offloads) == 0;
}

static int lan_add_segment(void *opaque, const uint8_t *frame, size_t len)
{
	struct net_lan *lan = opaque;
	uint8_t *at = lan->plain + lan->plain_end;

	if (LAN_WIRE_PREFIX + NET_HEADER_SIZE + len > NET_LAN_PLAIN - lan->plain_end)
		return -ENOBUFS;
	le_put32(at, (uint32_t)(NET_HEADER_SIZE + len));
	memset(at + LAN_WIRE_PREFIX, 0, NET_HEADER_SIZE);
	memcpy(at + LAN_WIRE_PREFIX + NET_HEADER_SIZE, frame, len);
	lan->plain_end += (uint32_t)(LAN_WIRE_PREFIX + NET_HEADER_SIZE + len);
	return 0;
}

/* Cut it for a guest that cannot; whatever then has no room is lost, as on any wire. */
static void lan_segment(struct net_lan *lan, struct virtio_net_hdr_v1 *header, uint8_t *frame,
			size_t len)
{
	if (lan->plain == NULL)
		lan->plain = malloc(NET_LAN_PLAIN);
	lan->plain_at = lan->plain_end = 0;
	if (lan->plain != NULL)
		(void)net_plain(header, frame, len, lan_add_segment, lan);
}

static int lan_give_segments(struct net_lan *lan)
{
	while (lan->plain_at < lan->plain_end) {
		uint8_t *at = lan->plain + lan->plain_at;
		uint32_t len = le_get32(at);
		int ret = lan_give(lan, at + LAN_WIRE_PREFIX, len);

		if (ret != 0)
			return ret;
		lan->plain_at += LAN_WIRE_PREFIX + len;
	}
	return 0;
}

/* The switch has checked the headers, too, but is not trusted with a guest's memory. */
static int lan_give_message(struct net_lan *lan, uint8_t *message, size_t len)
{
	struct virtio_net_hdr_v1 header;

	memcpy(&header, message, sizeof(header));
	if (net_header_fault(&header, len - NET_HEADER_SIZE) != NULL)
		return 0;
	if (lan_accepts_header(lan, &header))
		return lan_give(lan, message, len);
	lan_segment(lan, &header, message + NET_HEADER_SIZE, len - NET_HEADER_SIZE);
	return 0;
}

/* What is in `in` and whole, as far as the card has room. -EBADMSG: that is no stream of
 * messages. */
static int lan_deliver(struct net_lan *lan)
{
	int ret = lan_give_segments(lan);

	if (ret != 0)
		return ret;
	while (lan->in_end - lan->in_at >= LAN_WIRE_PREFIX) {
		uint8_t *at = lan->in + lan->in_at;
		uint32_t len = le_get32(at);

		if (len < NET_HEADER_SIZE || len > NET_MESSAGE_MAX)
			return -EBADMSG;
		if (lan->in_end - lan->in_at - LAN_WIRE_PREFIX < len)
			return 0;
		ret = lan_give_message(lan, at + LAN_WIRE_PREFIX, len);
		if (ret != 0)
			return ret;
		lan->in_at += LAN_WIRE_PREFIX + len;
		ret = lan_give_segments(lan);
		if (ret != 0)
			return ret;
	}
	return 0;
}

/* One read. The number of bytes, -EAGAIN, or another error when the switch is gone. */
static ssize_t lan_read(struct net_lan *lan)
{
	ssize_t got;

	lan->in_end -= lan->in_at;
	memmove(lan->in, lan->in + lan->in_at, lan->in_end);
	lan->in_at = 0;
	got = recv(lan->fd, lan->in + lan->in_end, NET_LAN_IN - lan->in_end, MSG_DONTWAIT);
	if (got < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	if (got == 0)
		return -EPIPE;
	lan->in_end += (uint32_t)got;
	return got;
}

/* ---- from the guest ---- */

/* Keep what is behind the first `sent` bytes. */
static void lan_keep_rest(struct net_lan *lan, const struct iovec *iov, unsigned n, size_t sent)
{
	lan->rest_at = lan->rest_end = 0;
	for (unsigned i = 0; i < n; i++) {
		size_t skip = sent < iov[i].iov_len ? sent : iov[i].iov_len;

		memcpy(lan->rest + lan->rest_end, (uint8_t *)iov[i].iov_base + skip,
		       iov[i].iov_len - skip);
		lan->rest_end += (uint32_t)(iov[i].iov_len - skip);
		sent -= skip;
	}
}

static int lan_send(struct net_backend *b, const struct iovec *iov, unsigned n, size_t len)
{
	struct net_lan *lan = lan_from_backend(b);
	struct iovec all[NET_MAX_SEGMENTS + 1];
	struct msghdr msg = {.msg_iov = all, .msg_iovlen = n + 1};
	uint8_t prefix[LAN_WIRE_PREFIX];
	ssize_t sent = -1;

	if (lan->state != NET_LAN_UP || n > NET_MAX_SEGMENTS || len > NET_MESSAGE_MAX)
		return 0;
	le_put32(prefix, (uint32_t)len);
	all[0] = (struct iovec){prefix, sizeof(prefix)};
	memcpy(all + 1, iov, n * sizeof(*iov));
	if (lan->rest_at == lan->rest_end)
		sent = sendmsg(lan->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	else
		errno = EAGAIN;
	if (sent == (ssize_t)(sizeof(prefix) + len))
		return 0;
	if (sent >= 0) {
		lan_keep_rest(lan, all, n + 1, (size_t)sent);
		lan_update_watch(lan);
		return 0;
	}
	if (errno != EAGAIN && errno != EINTR)
		return 0; /* the loop notices, too */
	lan->blocked = true;
	lan_update_watch(lan);
	return -EAGAIN;
}

static bool lan_send_rest(struct net_lan *lan)
{
	ssize_t sent;

	if (lan->rest_at < lan->rest_end) {
		sent = send(lan->fd, lan->rest + lan->rest_at, lan->rest_end - lan->rest_at,
			    MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent > 0)
			lan->rest_at += (uint32_t)sent;
	}
	return lan->rest_at == lan->rest_end;
}

static void lan_has_room(struct net_lan *lan)
{
	struct net_card *card = lan->backend.card;

	if (!lan->blocked)
		return;
	lan->blocked = false;
	card->ops->writable(card);
}

/* ---- the socket ---- */

static void lan_lose_switch(struct net_lan *lan)
{
	struct net_card *card = lan->backend.card;

	log_line(lan->log, "LAN %s is gone", lan->name);
	net_lan_leave(lan);
	card->ops->link(card, false);
	lan_has_room(lan);
	net_lan_start_probing(lan);
}

static void on_switch_socket(struct loop_watch *watch, uint32_t events)
{
	struct net_lan *lan = container_of(watch, struct net_lan, watch);
	ssize_t ret = 0;

	if (lan->state != NET_LAN_UP) {
		net_lan_read_answer(lan);
		return;
	}
	if ((events & EPOLLOUT) != 0 && lan_send_rest(lan))
		lan_has_room(lan);
	/* A hang-up is told whatever is asked for, and so is an error. */
	if ((events & ~(uint32_t)EPOLLOUT) != 0 && !lan->card_full)
		ret = lan_read(lan);
	else if ((events & (EPOLLHUP | EPOLLERR)) != 0)
		ret = -EPIPE;
	if (ret >= 0)
		ret = lan_deliver(lan);
	if (ret < 0 && ret != -EAGAIN)
		lan_lose_switch(lan);
	else
		lan_update_watch(lan);
}

void net_lan_watch(struct net_lan *lan)
{
	struct err err;

	if (loop_add(lan->loop, &lan->watch, lan->fd, EPOLLIN, on_switch_socket, &err) < 0)
		log_line(lan->log, "LAN %s: %s", lan->name, err.text);
}

/* ---- the back end ---- */

static void lan_ready(struct net_backend *b)
{
	struct net_lan *lan = lan_from_backend(b);

	lan->card_full = false;
	/* A stream that is broken is noticed when the socket is read. */
	(void)lan_deliver(lan);
	lan_update_watch(lan);
}

static void lan_offloads(struct net_backend *b, unsigned accepted)
{
	lan_from_backend(b)->offloads = accepted;
}

static void lan_start(struct net_backend *b)
{
	struct net_lan *lan = lan_from_backend(b);

	lan->card_full = false;
	if (lan->state != NET_LAN_UP)
		lan->backend.card->ops->link(lan->backend.card, false);
	if (lan->state == NET_LAN_DOWN) {
		net_lan_start_probing(lan);
		return;
	}
	net_lan_watch(lan);
	if (lan->state == NET_LAN_UP)
		lan_ready(b);
}

/* Half a frame on its way out is finished if the switch only takes it; whole ones that have come go
 * to the card. */
static void lan_quiesce(struct net_backend *b)
{
	struct net_lan *lan = lan_from_backend(b);
	struct pollfd pfd = {.fd = lan->fd, .events = POLLOUT};

	loop_del(lan->loop, &lan->watch);
	net_lan_stop_probing(lan);
	if (lan->state != NET_LAN_UP)
		return;
	if (!lan_send_rest(lan) && poll(&pfd, 1, QUIESCE_MS) > 0)
		(void)lan_send_rest(lan);
	for (unsigned reads = 0; !lan->card_full && reads < QUIESCE_READS; reads++) {
		if (lan_deliver(lan) < 0 || lan_read(lan) < 0)
			return;
	}
}

/* Whole messages that have come are dropped. Half of one stays, in both directions: the stream has
 * to go on with it. A stream that is broken is noticed when it is read next. */
static int lan_forget(struct net_backend *b, struct err *err)
{
	struct net_lan *lan = lan_from_backend(b);

	(void)err;
	lan->plain_at = lan->plain_end = 0;
	lan->card_full = lan->blocked = false;
	for (unsigned reads = 0; lan->state == NET_LAN_UP && reads < QUIESCE_READS; reads++) {
		while (lan->in_end - lan->in_at >= LAN_WIRE_PREFIX) {
			uint32_t len = le_get32(lan->in + lan->in_at);

			if (len > NET_MESSAGE_MAX ||
			    lan->in_end - lan->in_at - LAN_WIRE_PREFIX < len)
				break;
			lan->in_at += LAN_WIRE_PREFIX + len;
		}
		if (lan_read(lan) < 0)
			break;
	}
	return 0;
}

static void lan_close(struct net_backend *b)
{
	struct net_lan *lan = lan_from_backend(b);

	net_lan_leave(lan);
	net_lan_stop_probing(lan);
	free(lan->plain);
	free(lan);
}

const struct net_backend_ops net_lan_ops = {
	.name = "lan",
	.send = lan_send,
	.ready = lan_ready,
	.offloads = lan_offloads,
	.start = lan_start,
	.quiesce = lan_quiesce,
	.forget = lan_forget,
	.close = lan_close,
};
