/*
 * See hub.h. The life of a connection:
 *
 *     LINE → ASKED → OPEN → CLOSING → FREE     of a client that connects
 *     DIALING → OPEN → CLOSING → FREE          of the guest
 *     OPEN → DRAINING → FREE                   the guest has ended it, and the socket has not taken all of it
 *     … → DEAD → FREE                          one that is reset, until the guest has been told
 */
#include "vsock/hub.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/num.h"
#include "base/timer.h"
#include "host/listener.h"

#define TICK_MS 1000u
#define MOST_ALLOC                                                                                 \
	(1u << 30) /* of the credit that a guest gives, so that differences have a sign */

enum conn_state {
	CONN_FREE,
	CONN_LINE,    /* the client's line is not complete */
	CONN_ASKED,   /* the guest is asked, or will be */
	CONN_DIALING, /* the dialer connects for the guest */
	CONN_OPEN,
	CONN_DRAINING, /* over for the guest, and no packet's any more */
	CONN_CLOSING,  /* the socket is closed; the guest has to acknowledge that */
	CONN_DEAD,     /* the same, and the guest gets RST */
};

/* What the guest is to be sent. */
enum {
	SEND_REQUEST = 1,
	SEND_RESPONSE = 2,
	SEND_UPDATE = 4, /* of credit */
	SEND_ASK = 8,	 /* for credit */
	SEND_SHUTDOWN = 16,
	SEND_RST = 32,
};

struct vsock_conn {
	struct vsock_hub *hub;
	enum conn_state state;
	uint32_t guest_port, host_port;
	uint32_t serial; /* of what the dialer is asked */
	unsigned pending;
	int fd; /* owned; -1: none */
	struct loop_watch watch;
	uint64_t deadline_ns; /* by the hub's clock; 0: none */
	char line[VSOCK_LINE_MAX];
	unsigned line_len;
	/* Bits VIRTIO_VSOCK_SHUTDOWN_*: who has ended what. */
	uint32_t guest_shut, host_shut;
	/* To the guest. */
	bool readable; /* the socket has something, or its end */
	bool hup;      /* the client is gone; what it has sent may be there yet */
	bool asked;    /* for credit, and there was none since */
	uint32_t guest_alloc, guest_fwd, sent;
	/* From the guest; `kept` bytes are in the ring, which is there while that is not 0. */
	uint8_t *ring; /* owned */
	uint32_t first, kept;
	uint32_t forwarded, told;
};

struct vsock_reply {
	uint64_t from_cid;
	uint32_t from_port, to_port;
	uint16_t type;
};

struct vsock_hub {
	struct vsock_hub_params params;
	struct listener listener;
	struct vsock_ends ends; /* the dialer's alone */
	struct loop_watch dialer_watch;
	struct timer timer;
	bool ticking, held;
	uint32_t serial, next_port;
	unsigned top;  /* no connection is at this index or behind it */
	unsigned next; /* whose turn it is */
	unsigned nreplies;
	struct vsock_reply reply[VSOCK_REPLIES];
	struct vsock_conn conn[VSOCK_CONNECTIONS];
};

/* --- connections --- */

static struct vsock_conn *conn_make(struct vsock_hub *hub, enum conn_state state)
{
	for (unsigned i = 0; i < VSOCK_CONNECTIONS; i++) {
		struct vsock_conn *c = &hub->conn[i];

		if (c->state != CONN_FREE)
			continue;
		*c = (struct vsock_conn){.hub = hub, .state = state, .fd = -1, .watch.fd = -1};
		if (i >= hub->top)
			hub->top = i + 1;
		return c;
	}
	return NULL;
}

static void conn_drop_ring(struct vsock_conn *c)
{
	free(c->ring);
	c->ring = NULL;
	c->forwarded += c->kept;
	c->kept = 0;
}

static void conn_close_socket(struct vsock_conn *c)
{
	loop_del(c->hub->params.loop, &c->watch);
	cleanup_fd_fn(&c->fd);
	c->fd = -1;
	conn_drop_ring(c);
	c->readable = false;
}

static void conn_free(struct vsock_conn *c)
{
	struct vsock_hub *hub = c->hub;

	conn_close_socket(c);
	c->state = CONN_FREE;
	while (hub->top > 0 && hub->conn[hub->top - 1].state == CONN_FREE)
		hub->top--;
}

static void conn_reset(struct vsock_conn *c)
{
	conn_close_socket(c);
	c->state = CONN_DEAD;
	c->pending = SEND_RST;
	c->deadline_ns = 0;
}

static void conn_set_deadline(struct vsock_conn *c)
{
	struct vsock_hub *hub = c->hub;

	c->deadline_ns = hub->params.clock() + VSOCK_PATIENCE_S * 1000 * NS_PER_MS;
	if (!hub->ticking)
		timer_set(&hub->timer, TICK_MS);
	hub->ticking = true;
}

/* §5.10.6.5: both directions have ended; the guest answers with RST. */
static void conn_finish(struct vsock_conn *c)
{
	conn_close_socket(c);
	c->state = CONN_CLOSING;
	c->pending = SEND_SHUTDOWN;
	c->host_shut = VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND;
	conn_set_deadline(c);
}

static void conn_watch_again(struct vsock_conn *c)
{
	const bool reads =
		c->state == CONN_LINE || (c->state == CONN_OPEN && !c->readable &&
					  (c->host_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) == 0 &&
					  (c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_RCV) == 0);
	const uint32_t events = (reads ? EPOLLIN : 0u) | (c->kept > 0 ? EPOLLOUT : 0u);

	if (c->watch.fd >= 0 && events != c->watch.events)
		loop_mod(c->hub->params.loop, &c->watch, events);
}

static uint32_t conn_credit(const struct vsock_conn *c)
{
	const uint32_t under_way = c->sent - c->guest_fwd;

	return c->guest_alloc > under_way ? c->guest_alloc - under_way : 0;
}

/* Something to read, and credit for it, or the guest to be asked for that. */
static bool conn_has_data(const struct vsock_conn *c)
{
	const bool over = (c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_RCV) != 0 ||
			  (c->host_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) != 0;

	return c->state == CONN_OPEN && c->readable && !over && (conn_credit(c) > 0 || !c->asked);
}

/* The guest knows nothing of it yet, and is not to. */
static bool conn_is_held(const struct vsock_conn *c)
{
	return c->hub->held && (c->pending & (SEND_REQUEST | SEND_RESPONSE)) != 0;
}

static bool conn_ready(const struct vsock_conn *c)
{
	return c->state != CONN_FREE && !conn_is_held(c) && (c->pending != 0 || conn_has_data(c));
}

/* --- from the guest to the socket --- */

/* Nobody reads there any more: what the guest sends is dropped, and it is told so. */
static void conn_deafen(struct vsock_conn *c)
{
	conn_drop_ring(c);
	c->host_shut |= VIRTIO_VSOCK_SHUTDOWN_RCV;
	c->pending |= SEND_SHUTDOWN;
	if ((c->host_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) != 0)
		conn_finish(c);
}

/* The guest has ended its direction, and all of that has been handed over. */
static void conn_drained(struct vsock_conn *c)
{
	const uint32_t both = VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND;

	if (c->state == CONN_DRAINING)
		conn_free(c);
	else if ((c->guest_shut & both) == both)
		conn_reset(c);
	else if ((c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) != 0)
		(void)shutdown(c->fd, SHUT_WR);
}

/* How many bytes the socket has taken, or -1 when it takes none any more. */
static ssize_t conn_send(struct vsock_conn *c, const uint8_t *data, size_t len)
{
	ssize_t sent;

	while ((sent = send(c->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL)) < 0 && errno == EINTR)
		;
	if (sent < 0)
		return errno == EAGAIN ? 0 : -1;
	c->forwarded += (uint32_t)sent;
	return sent;
}

static void conn_note_forwarded(struct vsock_conn *c)
{
	if (c->forwarded - c->told >= VSOCK_BUFFER / 4)
		c->pending |= SEND_UPDATE;
}

static void conn_flush(struct vsock_conn *c)
{
	while (c->kept > 0) {
		const uint32_t len = (uint32_t)u64_min(c->kept, VSOCK_BUFFER - c->first);
		const ssize_t sent = conn_send(c, c->ring + c->first, len);

		if (sent == 0)
			break;
		if (sent < 0 && c->state == CONN_DRAINING) {
			conn_free(c);
			return;
		}
		if (sent < 0) {
			conn_deafen(c);
			return;
		}
		c->first = (c->first + (uint32_t)sent) % VSOCK_BUFFER;
		c->kept -= (uint32_t)sent;
	}
	conn_note_forwarded(c);
	if (c->kept == 0) {
		conn_drop_ring(c);
		conn_drained(c);
	}
}

static bool conn_keep(struct vsock_conn *c, const uint8_t *data, uint32_t len)
{
	if (c->ring == NULL) {
		c->ring = malloc(VSOCK_BUFFER);
		c->first = 0;
	}
	if (c->ring == NULL)
		return false;
	while (len > 0) {
		const uint32_t at = (c->first + c->kept) % VSOCK_BUFFER;
		const uint32_t part = (uint32_t)u64_min(len, VSOCK_BUFFER - at);

		memcpy(c->ring + at, data, part);
		c->kept += part;
		data += part;
		len -= part;
	}
	return true;
}

/* Data of the guest. One that sends more than its credit, or behind its own shutdown, is reset. */
static void conn_take_data(struct vsock_conn *c, const uint8_t *data, uint32_t len)
{
	ssize_t sent = 0;

	if (c->state == CONN_CLOSING)
		return;
	if (c->state != CONN_OPEN || data == NULL || len > VSOCK_BUFFER - c->kept ||
	    (c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) != 0) {
		conn_reset(c);
		return;
	}
	if ((c->host_shut & VIRTIO_VSOCK_SHUTDOWN_RCV) != 0) {
		c->forwarded += len;
		conn_note_forwarded(c);
		return;
	}
	if (c->kept == 0 && len > 0)
		sent = conn_send(c, data, len);
	if (sent < 0) {
		c->forwarded += len;
		conn_deafen(c);
		return;
	}
	if (len > (uint32_t)sent && !conn_keep(c, data + sent, len - (uint32_t)sent)) {
		conn_reset(c);
		return;
	}
	conn_note_forwarded(c);
}

/* --- from the socket to the guest --- */

/* Read for the guest. Returns how many bytes; 0: there are none now. */
static uint32_t conn_read(struct vsock_conn *c, uint8_t *data, size_t room)
{
	const uint32_t credit = conn_credit(c);
	ssize_t got;

	if (credit == 0) {
		c->asked = true;
		c->pending |= SEND_ASK;
		return 0;
	}
	while ((got = recv(c->fd, data, u64_min(room, credit), MSG_DONTWAIT)) < 0 && errno == EINTR)
		;
	if (got > 0) {
		c->sent += (uint32_t)got;
		return (uint32_t)got;
	}
	c->readable = false;
	if (got < 0 && errno == EAGAIN && !c->hup)
		return 0;
	c->host_shut |= VIRTIO_VSOCK_SHUTDOWN_SEND;
	c->pending |= SEND_SHUTDOWN;
	if ((c->host_shut & VIRTIO_VSOCK_SHUTDOWN_RCV) != 0)
		conn_finish(c);
	return 0;
}

static void conn_header(struct vsock_conn *c, struct virtio_vsock_hdr *hdr, uint16_t op,
			uint32_t len)
{
	*hdr = (struct virtio_vsock_hdr){
		.src_cid = htole64(VSOCK_HOST_CID),
		.dst_cid = htole64(c->hub->params.guest_cid),
		.src_port = htole32(c->host_port),
		.dst_port = htole32(c->guest_port),
		.len = htole32(len),
		.type = htole16(VIRTIO_VSOCK_TYPE_STREAM),
		.op = htole16(op),
		.flags = htole32(op == VIRTIO_VSOCK_OP_SHUTDOWN ? c->host_shut : 0),
		.buf_alloc = htole32(VSOCK_BUFFER),
		.fwd_cnt = htole32(c->forwarded),
	};
	c->told = c->forwarded;
	c->pending &= ~(unsigned)SEND_UPDATE; /* each has it */
}

/* The lowest bit's operation, or 0. Data goes behind the first two. */
static uint16_t conn_take_pending(struct vsock_conn *c, unsigned mask)
{
	static const struct {
		unsigned bit;
		uint16_t op;
	} operations[] = {
		{SEND_REQUEST, VIRTIO_VSOCK_OP_REQUEST},
		{SEND_RESPONSE, VIRTIO_VSOCK_OP_RESPONSE},
		{SEND_UPDATE, VIRTIO_VSOCK_OP_CREDIT_UPDATE},
		{SEND_ASK, VIRTIO_VSOCK_OP_CREDIT_REQUEST},
		{SEND_SHUTDOWN, VIRTIO_VSOCK_OP_SHUTDOWN},
		{SEND_RST, VIRTIO_VSOCK_OP_RST},
	};

	for (size_t i = 0; i < ARRAY_SIZE(operations); i++) {
		if ((c->pending & mask & operations[i].bit) == 0)
			continue;
		c->pending &= ~operations[i].bit;
		return operations[i].op;
	}
	return 0;
}

static bool conn_next(struct vsock_conn *c, struct virtio_vsock_hdr *hdr, uint8_t *data,
		      size_t room)
{
	const unsigned first = SEND_REQUEST | SEND_RESPONSE;
	uint16_t op = conn_take_pending(c, first);
	uint32_t len = 0;

	if (op == 0 && conn_has_data(c)) {
		len = conn_read(c, data, room);
		conn_watch_again(c);
	}
	if (len > 0)
		op = VIRTIO_VSOCK_OP_RW;
	else if (op == 0)
		op = conn_take_pending(c, ~first);
	if (op == 0)
		return false;
	conn_header(c, hdr, op, len);
	if (op == VIRTIO_VSOCK_OP_REQUEST)
		conn_set_deadline(c);
	if (op == VIRTIO_VSOCK_OP_RST)
		conn_free(c);
	return true;
}

static bool reply_next(struct vsock_hub *hub, struct virtio_vsock_hdr *hdr)
{
	const struct vsock_reply *r = &hub->reply[0];

	if (hub->nreplies == 0)
		return false;
	*hdr = (struct virtio_vsock_hdr){
		.src_cid = htole64(r->from_cid),
		.dst_cid = htole64(hub->params.guest_cid),
		.src_port = htole32(r->from_port),
		.dst_port = htole32(r->to_port),
		.type = htole16(r->type),
		.op = htole16(VIRTIO_VSOCK_OP_RST),
	};
	hub->nreplies--;
	memmove(hub->reply, hub->reply + 1, hub->nreplies * sizeof(hub->reply[0]));
	return true;
}

bool vsock_hub_next(struct vsock_hub *hub, struct virtio_vsock_hdr *hdr, uint8_t *data, size_t room)
{
	if (reply_next(hub, hdr))
		return true;
	for (unsigned i = 0; i < hub->top; i++) {
		struct vsock_conn *c = &hub->conn[hub->next++ % hub->top];

		if (conn_ready(c) && conn_next(c, hdr, data, room))
			return true;
	}
	return false;
}

bool vsock_hub_pending(const struct vsock_hub *hub)
{
	for (unsigned i = 0; i < hub->top; i++) {
		if (conn_ready(&hub->conn[i]))
			return true;
	}
	return hub->nreplies > 0;
}

static void hub_tell(struct vsock_hub *hub)
{
	if (vsock_hub_pending(hub))
		hub->params.ready(hub->params.opaque);
}

/* --- clients --- */

static bool port_is_used(const struct vsock_hub *hub, uint32_t host_port)
{
	for (unsigned i = 0; i < hub->top; i++) {
		if (hub->conn[i].state != CONN_FREE && hub->conn[i].host_port == host_port)
			return true;
	}
	return false;
}

/* "CONNECT PORT\n" is complete. */
static void client_connects(struct vsock_conn *c)
{
	static const char word[] = "CONNECT ";
	const size_t len = sizeof(word) - 1;
	struct vsock_hub *hub = c->hub;
	uint64_t port = 0;
	char *digit = c->line + len;

	c->line[c->line_len - 1] = '\0';
	if (strncmp(c->line, word, len) != 0 || *digit == '\0') {
		conn_free(c);
		return;
	}
	for (; *digit >= '0' && *digit <= '9' && port <= UINT32_MAX; digit++)
		port = port * 10 + (uint64_t)(*digit - '0');
	if (*digit != '\0' || port >= UINT32_MAX) { /* all ones stand for any port */
		conn_free(c);
		return;
	}
	do
		hub->next_port = (hub->next_port & 0x3fffffffu) + 0x40000000u + 1;
	while (port_is_used(hub, hub->next_port));
	c->host_port = hub->next_port;
	c->guest_port = (uint32_t)port;
	c->state = CONN_ASKED;
	c->pending = SEND_REQUEST;
	conn_watch_again(c);
}

/* What is behind the line is for the guest: it is left in the socket. */
static void client_reads_line(struct vsock_conn *c)
{
	char *to = c->line + c->line_len;
	ssize_t got = recv(c->fd, to, sizeof(c->line) - c->line_len, MSG_DONTWAIT | MSG_PEEK);
	const char *end;

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	end = got > 0 ? memchr(to, '\n', (size_t)got) : NULL;
	if (end != NULL)
		got = end - to + 1;
	if (got <= 0 || recv(c->fd, to, (size_t)got, MSG_DONTWAIT) != got) {
		conn_free(c);
		return;
	}
	c->line_len += (unsigned)got;
	if (end != NULL)
		client_connects(c);
	else if (c->line_len == sizeof(c->line))
		conn_free(c);
}

static void client_is_accepted(struct vsock_conn *c)
{
	char text[32];
	const int len = snprintf(text, sizeof(text), "OK %u\n", c->host_port);

	c->deadline_ns = 0;
	if (c->hup || send(c->fd, text, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL) != len) {
		conn_reset(c);
		return;
	}
	c->state = CONN_OPEN;
	conn_watch_again(c);
}

/* It hung up. */
static void conn_hangs_up(struct vsock_conn *c)
{
	c->hup = true;
	loop_del(c->hub->params.loop, &c->watch);
	if (c->state == CONN_ASKED && (c->pending & SEND_REQUEST) != 0) {
		conn_free(c);
	} else if (c->state == CONN_ASKED) {
		conn_reset(c);
	} else if (c->state == CONN_DRAINING) {
		conn_free(c);
	} else {
		c->readable = true;
		if ((c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_RCV) != 0)
			c->host_shut |= VIRTIO_VSOCK_SHUTDOWN_SEND;
		conn_deafen(c);
	}
}

static void on_conn(struct loop_watch *watch, uint32_t events)
{
	struct vsock_conn *c = container_of(watch, struct vsock_conn, watch);
	struct vsock_hub *hub = c->hub;

	if (c->state == CONN_LINE) {
		client_reads_line(c);
		/* One that hung up without a line, or behind it. */
		if ((events & (EPOLLHUP | EPOLLERR)) != 0 && c->state != CONN_FREE)
			conn_free(c);
	} else if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
		conn_hangs_up(c);
	} else {
		if ((events & EPOLLIN) != 0)
			c->readable = true;
		if ((events & EPOLLOUT) != 0 && c->kept > 0)
			conn_flush(c);
		conn_watch_again(c);
	}
	hub_tell(hub);
}

static bool conn_use_socket(struct vsock_conn *c, int fd, uint32_t events)
{
	struct err err;

	c->fd = fd;
	return loop_add(c->hub->params.loop, &c->watch, fd, events, on_conn, &err) == 0;
}

static void on_client(struct listener *listener, int fd)
{
	struct vsock_hub *hub = container_of(listener, struct vsock_hub, listener);
	struct vsock_conn *c = conn_make(hub, CONN_LINE);

	if (c == NULL) {
		close(fd);
		return;
	}
	if (!conn_use_socket(c, fd, EPOLLIN))
		conn_free(c);
	else
		conn_set_deadline(c);
}

/* --- the dialer --- */

static void dialer_is_gone(struct vsock_hub *hub)
{
	loop_del(hub->params.loop, &hub->dialer_watch);
	vsock_ends_close(&hub->ends);
	for (unsigned i = 0; i < hub->top; i++) {
		if (hub->conn[i].state == CONN_DIALING)
			conn_reset(&hub->conn[i]);
	}
}

static void dialed(struct vsock_hub *hub, const struct vsock_dial *answer, int fd)
{
	struct vsock_conn *c = answer->slot < VSOCK_CONNECTIONS ? &hub->conn[answer->slot] : NULL;

	if (c == NULL || c->state != CONN_DIALING || c->serial != answer->serial) {
		cleanup_fd_fn(&fd);
		return;
	}
	if (fd < 0 || !conn_use_socket(c, fd, EPOLLIN)) {
		conn_reset(c);
		return;
	}
	c->state = CONN_OPEN;
	c->pending = SEND_RESPONSE;
}

static void on_dialer(struct loop_watch *watch, uint32_t events)
{
	struct vsock_hub *hub = container_of(watch, struct vsock_hub, dialer_watch);
	struct vsock_dial answer;
	int fd, got;

	(void)events;
	while ((got = vsock_dial_take(hub->ends.dialer, &answer, &fd)) > 0)
		dialed(hub, &answer, fd);
	if (got < 0)
		dialer_is_gone(hub);
	hub_tell(hub);
}

/* --- packets of the guest --- */

bool vsock_hub_has_room(const struct vsock_hub *hub)
{
	return hub->nreplies < VSOCK_REPLIES;
}

/* §5.10.6: a packet for which there is no connection is answered with RST, but for RST. */
static void hub_refuse(struct vsock_hub *hub, const struct virtio_vsock_hdr *hdr)
{
	assert(vsock_hub_has_room(hub));
	if (le16toh(hdr->op) == VIRTIO_VSOCK_OP_RST)
		return;
	hub->reply[hub->nreplies++] = (struct vsock_reply){
		.from_cid = le64toh(hdr->dst_cid),
		.from_port = le32toh(hdr->dst_port),
		.to_port = le32toh(hdr->src_port),
		.type = le16toh(hdr->type),
	};
}

static struct vsock_conn *hub_find(struct vsock_hub *hub, uint32_t guest_port, uint32_t host_port)
{
	for (unsigned i = 0; i < hub->top; i++) {
		struct vsock_conn *c = &hub->conn[i];

		if (c->state != CONN_FREE && c->state != CONN_LINE && c->state != CONN_DRAINING &&
		    c->guest_port == guest_port && c->host_port == host_port)
			return c;
	}
	return NULL;
}

static void guest_connects(struct vsock_hub *hub, const struct virtio_vsock_hdr *hdr)
{
	struct vsock_conn *c = hub->ends.dialer >= 0 ? conn_make(hub, CONN_DIALING) : NULL;
	struct vsock_dial ask;

	if (c == NULL) {
		hub_refuse(hub, hdr);
		return;
	}
	c->guest_port = le32toh(hdr->src_port);
	c->host_port = le32toh(hdr->dst_port);
	c->guest_alloc = (uint32_t)u64_min(le32toh(hdr->buf_alloc), MOST_ALLOC);
	c->serial = ++hub->serial;
	ask = (struct vsock_dial){
		.slot = (uint32_t)(c - hub->conn), .serial = c->serial, .port = c->host_port};
	if (vsock_dial_ask(hub->ends.dialer, &ask) < 0)
		conn_reset(c);
}

/* What the guest says of its buffer. An older count may come behind a newer one: drivers fill headers in before
 * they put them into an order. False: it has received more than it was sent. */
static bool conn_note_credit(struct vsock_conn *c, const struct virtio_vsock_hdr *hdr)
{
	const uint32_t more = le32toh(hdr->fwd_cnt) - c->guest_fwd;

	c->guest_alloc = (uint32_t)u64_min(le32toh(hdr->buf_alloc), MOST_ALLOC);
	if (more < UINT32_C(1) << 31) {
		if (more > c->sent - c->guest_fwd)
			return false;
		c->guest_fwd += more;
	}
	if (conn_credit(c) > 0)
		c->asked = false;
	return true;
}

/* The guest waits for nothing, and what it has sent is the client's, however slowly that reads. */
static void conn_leave_to_client(struct vsock_conn *c)
{
	c->state = CONN_DRAINING;
	c->pending = 0;
}

static void conn_take_shutdown(struct vsock_conn *c, const struct virtio_vsock_hdr *hdr)
{
	const uint32_t both = VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND;

	if (c->state != CONN_OPEN) {
		conn_reset(c);
		return;
	}
	c->guest_shut |= le32toh(hdr->flags) & both;
	if (c->kept == 0) {
		conn_drained(c);
	} else if (c->guest_shut == both) {
		hub_refuse(c->hub, hdr);
		conn_leave_to_client(c);
	}
}

static void conn_take_rst(struct vsock_conn *c)
{
	if (c->kept > 0 && (c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) != 0)
		conn_leave_to_client(c);
	else
		conn_free(c);
}

static void conn_take(struct vsock_conn *c, const struct virtio_vsock_hdr *hdr, const uint8_t *data)
{
	switch (le16toh(hdr->op)) {
	case VIRTIO_VSOCK_OP_RESPONSE:
		if (c->state == CONN_ASKED && c->pending == 0)
			client_is_accepted(c);
		else
			conn_reset(c);
		break;
	case VIRTIO_VSOCK_OP_RW:
		conn_take_data(c, data, le32toh(hdr->len));
		break;
	case VIRTIO_VSOCK_OP_SHUTDOWN:
		conn_take_shutdown(c, hdr);
		break;
	case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
		break;
	case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
		if (c->state == CONN_OPEN)
			c->pending |= SEND_UPDATE;
		break;
	default: /* REQUEST of what is there, and what is no operation */
		conn_reset(c);
	}
}

void vsock_hub_receive(struct vsock_hub *hub, const struct virtio_vsock_hdr *hdr,
		       const uint8_t *data)
{
	const uint16_t op = le16toh(hdr->op);
	struct vsock_conn *c;

	/* No other sender is there, and nobody whom an answer could reach. */
	if (le64toh(hdr->src_cid) != hub->params.guest_cid)
		return;
	if (le64toh(hdr->dst_cid) != VSOCK_HOST_CID ||
	    le16toh(hdr->type) != VIRTIO_VSOCK_TYPE_STREAM) {
		hub_refuse(hub, hdr);
		return;
	}
	c = hub_find(hub, le32toh(hdr->src_port), le32toh(hdr->dst_port));
	if (c != NULL && op == VIRTIO_VSOCK_OP_RST) {
		conn_take_rst(c);
	} else if (c != NULL && c->state != CONN_DEAD) {
		if (conn_note_credit(c, hdr))
			conn_take(c, hdr, data);
		else
			conn_reset(c);
		conn_watch_again(c);
	} else if (c == NULL && op == VIRTIO_VSOCK_OP_REQUEST) {
		guest_connects(hub, hdr);
	} else if (c == NULL) {
		hub_refuse(hub, hdr);
	}
}

/* --- the hub --- */

/* The guest does not answer, or the client does not ask. */
static void conn_expire(struct vsock_conn *c)
{
	c->deadline_ns = 0;
	if (c->state == CONN_LINE || (c->pending & SEND_REQUEST) != 0)
		conn_free(c);
	else
		conn_reset(c);
}

static void on_tick(void *opaque)
{
	struct vsock_hub *hub = opaque;
	const uint64_t now = hub->params.clock();

	hub->ticking = false;
	for (unsigned i = 0; i < hub->top; i++) {
		struct vsock_conn *c = &hub->conn[i];

		if (c->state == CONN_FREE || c->deadline_ns == 0)
			continue;
		if (c->deadline_ns <= now)
			conn_expire(c);
		else
			hub->ticking = true;
	}
	if (hub->ticking)
		timer_set(&hub->timer, TICK_MS);
	hub_tell(hub);
}

void vsock_hub_reset(struct vsock_hub *hub)
{
	while (hub->top > 0)
		conn_free(&hub->conn[hub->top - 1]);
	hub->nreplies = 0;
	hub->held = false;
}

void vsock_hub_hold(struct vsock_hub *hub, bool on)
{
	hub->held = on;
}

static int hub_use_ends(struct vsock_hub *hub, struct vsock_ends *ends, struct err *err)
{
	const int listener = ends->listener;
	int ret;

	if (listener < 0)
		return 0;
	hub->ends.dialer = ends->dialer;
	*ends = (struct vsock_ends)VSOCK_ENDS_CLOSED;
	ret = listener_take(&hub->listener, hub->params.loop, listener, on_client, err);
	if (ret < 0)
		return ret;
	return loop_add(hub->params.loop, &hub->dialer_watch, hub->ends.dialer, EPOLLIN, on_dialer,
			err);
}

int vsock_hub_open(struct vsock_hub **out, const struct vsock_hub_params *params, struct err *err)
{
	struct vsock_hub *hub = calloc(1, sizeof(*hub));
	int ret;

	if (hub == NULL) {
		vsock_ends_close(params->ends);
		return err_sys(err, ENOMEM, "vsock");
	}
	hub->params = *params;
	hub->params.ends = NULL;
	hub->listener = (struct listener)LISTENER_CLOSED;
	hub->ends = (struct vsock_ends)VSOCK_ENDS_CLOSED;
	hub->dialer_watch.fd = -1;
	hub->timer = TIMER_CLOSED;
	/* A guest that was resumed may have connections yet whose ports were given out before. */
	(void)!getrandom(&hub->next_port, sizeof(hub->next_port), GRND_NONBLOCK);
	ret = timer_open(&hub->timer, params->loop, on_tick, hub, err);
	if (ret == 0)
		ret = hub_use_ends(hub, params->ends, err);
	if (ret < 0) {
		vsock_ends_close(params->ends);
		vsock_hub_close(hub);
		return ret;
	}
	*out = hub;
	return 0;
}

void vsock_hub_close(struct vsock_hub *hub)
{
	if (hub == NULL)
		return;
	vsock_hub_reset(hub);
	listener_close(&hub->listener);
	loop_del(hub->params.loop, &hub->dialer_watch);
	timer_close(&hub->timer);
	vsock_ends_close(&hub->ends);
	free(hub);
}
