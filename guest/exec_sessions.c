/* See exec_sessions.h. */
#include "guest/exec_sessions.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/num.h"

#define UNSENT_MAX (4u << 20) /* then nothing more is read from clients, and no credit given */
#define FRAME_COST 64u	      /* what a frame of output takes here at least */
#define FINISH_MS  1000
/* Of output that has left, so much is given back in one go: each time costs a frame. */
#define CREDIT_LEAST (EXEC_OUTPUT_WINDOW / 4)

struct exec_client {
	struct exec_sessions *sessions;
	struct exec_client *next;
	struct loop_watch watch;
	int fd;
	uint32_t id;
	bool ended; /* its last frame is in `out`: it goes once that was read */
	bool muted; /* nothing is read from it until the transport has room */
	uint32_t args_len;
	uint32_t input_left;   /* that it may send */
	uint32_t output_left;  /* that the helper may send */
	uint32_t output_given; /* bytes in `out` that the helper gets back */
	struct buf out;	       /* from out_at on */
	size_t out_at;
	uint8_t in[EXEC_HEADER + EXEC_FRAME_MAX]; /* less than a frame */
	size_t in_len;
};

static void on_exec_client(struct loop_watch *watch, uint32_t events);

/* --- to the guest --- */

static void to_guest(struct exec_sessions *s, const struct exec_client *c, uint8_t type,
		     const uint8_t *data, uint32_t len)
{
	uint8_t frame[EXEC_HEADER + EXEC_FRAME_MAX];

	exec_header(frame, c->id, type, len);
	if (len > 0)
		memcpy(frame + EXEC_HEADER, data, len);
	s->transport->ops->send(s->transport, frame, EXEC_HEADER + len);
}

static void number_to_guest(struct exec_client *c, uint8_t type, uint32_t number)
{
	uint8_t data[4];

	exec_put32(data, number);
	to_guest(c->sessions, c, type, data, sizeof(data));
}

/* --- clients --- */

static void exec_client_free(struct exec_client *c)
{
	struct exec_sessions *s = c->sessions;
	struct exec_client **link = &s->clients;

	while (*link != c)
		link = &(*link)->next;
	*link = c->next;
	s->nclients--;
	loop_del(s->loop, &c->watch);
	close(c->fd);
	buf_free(&c->out);
	free(c);
	if (s->nclients == 0 && s->begun)
		timer_set(&s->idle, EXEC_IDLE_MS);
}

/* Before its command has ended. */
static void exec_client_leave(struct exec_client *c)
{
	if (!c->ended && c->args_len > 0)
		to_guest(c->sessions, c, EXEC_HANGUP, NULL, 0);
	exec_client_free(c);
}

static void exec_client_watch(struct exec_client *c)
{
	uint32_t events = c->muted || c->ended ? 0 : EPOLLIN;

	if (c->out.len > c->out_at)
		events |= EPOLLOUT;
	loop_mod(c->sessions->loop, &c->watch, events);
}

static void exec_client_add_to(struct exec_client *c, uint32_t session, uint8_t type,
			       const uint8_t *data, uint32_t len)
{
	uint8_t header[EXEC_HEADER];

	exec_header(header, session, type, len);
	buf_add(&c->out, header, sizeof(header));
	if (len > 0)
		buf_add(&c->out, data, len);
}

static void exec_client_add(struct exec_client *c, uint8_t type, const uint8_t *data, uint32_t len)
{
	exec_client_add_to(c, 0, type, data, len);
}

static void exec_client_fail(struct exec_client *c, const char *text, bool may_retry)
{
	if (c->ended)
		return;
	exec_client_add_to(c, may_retry ? EXEC_MAY_RETRY : 0, EXEC_ERROR, (const uint8_t *)text,
			   (uint32_t)u64_min(strlen(text), EXEC_FRAME_MAX));
	c->ended = true;
}

/* All of the output has left. A guest that prints and reads nothing gets none: each credit would wait
 * here for it. */
static void give_credit(struct exec_client *c)
{
	const struct transport *t = c->sessions->transport;
	uint32_t given = c->output_given;

	if (given < CREDIT_LEAST || t->ops->unsent(t) > UNSENT_MAX)
		return;
	c->output_left += given;
	c->output_given = 0;
	number_to_guest(c, EXEC_CREDIT, given);
}

/* Returns false when the client is gone. */
static bool exec_client_flush(struct exec_client *c)
{
	while (c->out.len > c->out_at) {
		ssize_t put = send(c->fd, c->out.data + c->out_at, c->out.len - c->out_at,
				   MSG_NOSIGNAL | MSG_DONTWAIT);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0 && errno == EAGAIN)
			break;
		if (put < 0) {
			exec_client_leave(c);
			return false;
		}
		c->out_at += (size_t)put;
	}
	if (c->out.len > c->out_at) {
		exec_client_watch(c);
		return true;
	}
	if (buf_failed(&c->out) || c->ended) {
		exec_client_leave(c);
		return false;
	}
	buf_free(&c->out);
	c->out_at = 0;
	give_credit(c);
	exec_client_watch(c);
	return true;
}

/* Is the client allowed to send that now? Counts it. */
static bool client_may_send(struct exec_client *c, const struct exec_frame *f)
{
	switch (f->type) {
	case EXEC_ARGS:
		c->args_len += f->len;
		return f->len > 0 && c->args_len <= EXEC_ARGS_MAX;
	case EXEC_INPUT:
		if (f->len > c->input_left)
			return false;
		c->input_left -= f->len;
		return c->args_len > 0;
	case EXEC_SIGNAL:
	case EXEC_WINDOW:
		return f->len == 4 && c->args_len > 0;
	case EXEC_START:
	case EXEC_INPUT_END:
		return f->len == 0 && c->args_len > 0;
	default:
		return false;
	}
}

/* Whole frames go to the guest; what is left stays. Returns false when the client is gone. */
static bool take_client_frames(struct exec_client *c)
{
	struct exec_frame f;
	size_t at = 0;

	while (c->in_len - at >= EXEC_HEADER) {
		if (exec_parse_header(c->in + at, &f) < 0)
			break;
		if (c->in_len - at - EXEC_HEADER < f.len)
			goto rest;
		if (!client_may_send(c, &f))
			break;
		to_guest(c->sessions, c, f.type, c->in + at + EXEC_HEADER, f.len);
		at += EXEC_HEADER + f.len;
	}
	if (c->in_len - at >= EXEC_HEADER) {
		exec_client_leave(c);
		return false;
	}
rest:
	c->in_len -= at;
	memmove(c->in, c->in + at, c->in_len);
	return true;
}

static void exec_client_read(struct exec_client *c)
{
	struct transport *t = c->sessions->transport;
	ssize_t got = recv(c->fd, c->in + c->in_len, sizeof(c->in) - c->in_len, MSG_DONTWAIT);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		exec_client_leave(c);
		return;
	}
	c->in_len += (size_t)got;
	if (!take_client_frames(c))
		return;
	c->muted = t->ops->unsent(t) > UNSENT_MAX;
	if (c->muted)
		exec_client_watch(c);
}

static void on_exec_client(struct loop_watch *watch, uint32_t events)
{
	struct exec_client *c = container_of(watch, struct exec_client, watch);

	if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
		exec_client_leave(c);
		return;
	}
	if ((events & EPOLLOUT) != 0 && !exec_client_flush(c))
		return;
	if ((events & EPOLLIN) != 0 && !c->ended && !c->muted)
		exec_client_read(c);
}

/* --- from the guest --- */

static struct exec_client *find_client(const struct exec_sessions *s, uint32_t id)
{
	struct exec_client *c = s->clients;

	while (c != NULL && c->id != id)
		c = c->next;
	return c;
}

static bool helper_may_send(struct exec_client *c, const struct exec_frame *f, const uint8_t *data)
{
	switch (f->type) {
	case EXEC_OUTPUT:
	case EXEC_OUTPUT_ERR:
		if (f->len == 0 || f->len > c->output_left)
			return false;
		c->output_left -= f->len;
		c->output_given += f->len;
		/* Many small ones cost more than they hold. */
		return c->out.len - c->out_at < EXEC_OUTPUT_WINDOW * (uint64_t)FRAME_COST;
	case EXEC_CREDIT:
		if (f->len != 4 || exec_get32(data) > EXEC_INPUT_WINDOW - c->input_left)
			return false;
		c->input_left += exec_get32(data);
		return true;
	case EXEC_EXIT:
		return f->len == 5;
	default:
		return false;
	}
}

static void from_guest(struct exec_sessions *s, const struct exec_frame *f, const uint8_t *data)
{
	struct exec_client *c = find_client(s, f->session);

	/* It may be on its way still when its client has left. */
	if (c == NULL || c->ended)
		return;
	if (helper_may_send(c, f, data)) {
		exec_client_add(c, f->type, data, f->len);
		c->ended = f->type == EXEC_EXIT;
	} else {
		to_guest(s, c, EXEC_HANGUP, NULL, 0);
		exec_client_fail(c, "the guest breaks the rules of torpor's helper", false);
	}
	(void)exec_client_flush(c);
}

static void sessions_fail(struct exec_sessions *s, const char *why, bool may_retry)
{
	struct exec_client *next;

	s->begun = false;
	s->heard_len = 0;
	timer_set(&s->idle, 0);
	for (struct exec_client *c = s->clients; c != NULL; c = next) {
		next = c->next;
		exec_client_fail(c, why, may_retry);
		(void)exec_client_flush(c);
	}
}

static void sessions_break(struct exec_sessions *s)
{
	s->transport->ops->end(s->transport);
	sessions_fail(s, "what torpor's helper in the guest says makes no sense", false);
}

/* Clients may tell their users from now on that it is the command that takes its time. */
static void tell_ready(struct exec_sessions *s)
{
	struct exec_client *next;

	for (struct exec_client *c = s->clients; c != NULL; c = next) {
		next = c->next;
		if (c->ended)
			continue;
		exec_client_add(c, EXEC_READY, NULL, 0);
		(void)exec_client_flush(c);
	}
}

/* The helper's first frame is EXEC_HELLO; from then on its other ones belong to sessions. */
static bool take_helper_frame(struct exec_sessions *s, const struct exec_frame *f,
			      const uint8_t *data)
{
	if (s->helped && f->session != 0) {
		from_guest(s, f, data);
		return true;
	}
	if (s->helped || f->session != 0 || f->type != EXEC_HELLO || f->len != 4 ||
	    exec_get32(data) != EXEC_VERSION)
		return false;
	s->helped = true;
	tell_ready(s);
	return true;
}

static void on_received(void *opaque, const uint8_t *data, size_t len)
{
	struct exec_sessions *s = opaque;
	struct exec_frame f;

	while (len > 0) {
		size_t want = EXEC_HEADER, part;

		if (s->heard_len >= EXEC_HEADER) {
			if (exec_parse_header(s->heard, &f) < 0) {
				sessions_break(s);
				return;
			}
			want += f.len;
		}
		part = u64_min(want - s->heard_len, len);
		memcpy(s->heard + s->heard_len, data, part);
		s->heard_len += part;
		data += part;
		len -= part;
		if (s->heard_len < want || s->heard_len < EXEC_HEADER ||
		    exec_parse_header(s->heard, &f) < 0 || s->heard_len < EXEC_HEADER + f.len)
			continue;
		s->heard_len = 0;
		if (!take_helper_frame(s, &f, s->heard + EXEC_HEADER)) {
			sessions_break(s);
			return;
		}
	}
}

static void on_failed(void *opaque, const struct err *why)
{
	sessions_fail(opaque, why->text, why->kind == ERR_NOT_FOUND);
}

static void on_room(void *opaque)
{
	struct exec_sessions *s = opaque;

	if (s->transport->ops->unsent(s->transport) > UNSENT_MAX / 2)
		return;
	for (struct exec_client *c = s->clients; c != NULL; c = c->next) {
		if (!c->ended && c->out.len == c->out_at)
			give_credit(c);
		if (!c->muted)
			continue;
		c->muted = false;
		exec_client_watch(c);
	}
}

static void on_idle(void *opaque)
{
	struct exec_sessions *s = opaque;

	if (s->nclients > 0 || !s->begun)
		return;
	s->begun = false;
	s->transport->ops->end(s->transport);
}

void exec_sessions_init(struct exec_sessions *s, struct transport *transport, struct loop *loop)
{
	/* A machine without clients needs no memory for what it hears. */
	memset(s, 0, offsetof(struct exec_sessions, heard));
	s->transport = transport;
	s->loop = loop;
	s->idle = TIMER_CLOSED;
	transport->received = on_received;
	transport->failed = on_failed;
	transport->room = on_room;
	transport->opaque = s;
}

int exec_sessions_open(struct exec_sessions *s, struct err *err)
{
	int ret = timer_open(&s->idle, s->loop, on_idle, s, err);

	s->open = ret == 0;
	return ret;
}

/* It is told why, and the connection ends. */
static int refuse(int fd, int ret, const char *text, struct err *err)
{
	uint8_t header[EXEC_HEADER];

	exec_header(header, 0, EXEC_ERROR, (uint32_t)strlen(text));
	(void)!send(fd, header, sizeof(header), MSG_NOSIGNAL | MSG_DONTWAIT | MSG_MORE);
	(void)!send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
	err_set(err, ERR_FAILED, "%s", text);
	return ret;
}

int exec_sessions_attach(struct exec_sessions *s, int fd, const uint8_t *data, size_t len,
			 struct err *err)
{
	struct exec_client *c;
	int ret;

	if (!s->open)
		return refuse(fd, -ENOMEM, "commands cannot be run in this machine", err);
	if (s->nclients == EXEC_SESSIONS_MAX)
		return refuse(fd, -EAGAIN, "too many commands run at once", err);
	c = calloc(1, sizeof(*c));
	if (c == NULL || len > sizeof(c->in)) {
		free(c);
		return refuse(fd, -ENOMEM, "out of memory", err);
	}
	ret = loop_add(s->loop, &c->watch, fd, EPOLLIN, on_exec_client, err);
	if (ret < 0) {
		free(c);
		return refuse(fd, ret, "out of memory", NULL);
	}
	c->sessions = s;
	c->fd = fd;
	c->id = ++s->last_id != 0 ? s->last_id : ++s->last_id;
	c->input_left = EXEC_INPUT_WINDOW;
	c->output_left = EXEC_OUTPUT_WINDOW;
	c->next = s->clients;
	s->clients = c;
	s->nclients++;
	timer_set(&s->idle, 0);
	if (!s->begun) {
		s->begun = true;
		s->helped = false;
		s->heard_len = 0;
		s->transport->ops->begin(s->transport);
	}
	memcpy(c->in, data, len);
	c->in_len = len;
	if (!take_client_frames(c) || !s->helped)
		return 0;
	exec_client_add(c, EXEC_READY, NULL, 0);
	(void)exec_client_flush(c);
	return 0;
}

void exec_sessions_reset(struct exec_sessions *s, const char *why)
{
	if (!s->begun)
		return;
	s->transport->ops->end(s->transport);
	sessions_fail(s, why, false);
}

/* Give a client until `deadline` to take what is there. */
static void drain_client(const struct exec_client *c, uint64_t deadline)
{
	size_t at = c->out_at;

	while (at < c->out.len) {
		struct pollfd wait = {.fd = c->fd, .events = POLLOUT};
		uint64_t now = clock_monotonic_ns();
		ssize_t put;

		if (now >= deadline || poll(&wait, 1, (int)((deadline - now) / NS_PER_MS) + 1) <= 0)
			return;
		put = send(c->fd, c->out.data + at, c->out.len - at, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (put < 0)
			return;
		at += (size_t)put;
	}
}

void exec_sessions_finish(struct exec_sessions *s, const char *why)
{
	uint64_t deadline = clock_monotonic_ns() + FINISH_MS * NS_PER_MS;

	s->begun = false;
	while (s->clients != NULL) {
		exec_client_fail(s->clients, why, false);
		drain_client(s->clients, deadline);
		s->clients->ended = true;
		exec_client_free(s->clients);
	}
	if (s->open)
		timer_close(&s->idle);
	s->open = false;
}
