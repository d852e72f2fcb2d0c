/* See exec_port.h. */
#include "guest/exec_port.h"

#include <string.h>
#include <sys/random.h>

#include "base/assert.h"
#include "base/num.h"

/* A guest that is being paged in, or beside much load, is slow; without an answer another helper is
 * started, which is no harm. */
#define GREETING_MS 10000u
#define PING_MS	    10000u

static void start_helper(struct exec_port *p);

static struct exec_port *port_from_transport(struct transport *t)
{
	return container_of(t, struct exec_port, transport);
}

static struct transport *files_of(const struct exec_port *p)
{
	return &p->files->transport;
}

static size_t port_unsent(const struct transport *t)
{
	const struct exec_port *p = container_of(t, const struct exec_port, transport);

	return p->frames.len + p->unsent.len - p->unsent_at +
	       (p->state == PORT_FILES ? files_of(p)->ops->unsent(files_of(p)) : 0);
}

static void forget_all(struct exec_port *p)
{
	buf_free(&p->frames);
	buf_free(&p->unsent);
	p->unsent_at = 0;
	p->no_memory = p->greeted = false;
	p->state = PORT_IDLE;
	timer_set(&p->timer, 0);
}

static void port_failed(struct exec_port *p, const char *text)
{
	struct err why;

	err_set(&why, ERR_FAILED, "%s", text);
	forget_all(p);
	p->transport.failed(p->transport.opaque, &why);
}

/* Not inside of send(): the loop tells it. */
static void lack_memory(struct exec_port *p)
{
	p->no_memory = true;
	timer_set(&p->timer, 1);
}

/* --- to the guest --- */

static void port_pump(struct exec_port *p)
{
	size_t len = p->unsent.len - p->unsent_at;

	if (len == 0)
		return;
	p->unsent_at += p->port->input(p->port, p->unsent.data + p->unsent_at, len);
	if (p->unsent_at < p->unsent.len)
		return;
	buf_free(&p->unsent);
	p->unsent_at = 0;
}

/* NULL: zeros. */
static void to_port(struct exec_port *p, const void *data, size_t len)
{
	if (p->unsent_at > p->unsent.len / 2) {
		p->unsent.len -= p->unsent_at;
		memmove(p->unsent.data, p->unsent.data + p->unsent_at, p->unsent.len);
		p->unsent_at = 0;
	}
	buf_add(&p->unsent, data, len);
	if (buf_failed(&p->unsent))
		lack_memory(p);
}

static void frame_to_port(struct exec_port *p, const void *frame, size_t len)
{
	to_port(p, frame, len);
	to_port(p, p->greeting + EXEC_MAGIC_SIZE, EXEC_TRAILER);
	p->pinged = false;
}

static void port_send(struct transport *t, const void *frames, size_t len)
{
	struct exec_port *p = port_from_transport(t);
	const uint8_t *at = frames, *end = at + len;
	struct exec_frame f;

	if (p->state == PORT_FILES) {
		files_of(p)->ops->send(files_of(p), frames, len);
	} else if (p->state == PORT_UP) {
		while (at < end) {
			(void)exec_parse_header(at, &f);
			frame_to_port(p, at, EXEC_HEADER + f.len);
			at += EXEC_HEADER + f.len;
		}
		port_pump(p);
	} else if (p->state != PORT_IDLE) {
		buf_add(&p->frames, frames, len);
		if (buf_failed(&p->frames))
			lack_memory(p);
	}
}

/* What has waited for a way. */
static void send_kept(struct exec_port *p)
{
	struct buf frames = p->frames;

	p->frames = (struct buf){0};
	if (frames.len > 0)
		port_send(&p->transport, frames.data, frames.len);
	buf_free(&frames);
}

static void greet(struct exec_port *p)
{
	uint8_t *number = p->greeting + EXEC_MAGIC_SIZE;

	memcpy(p->greeting, EXEC_MAGIC, EXEC_MAGIC_SIZE);
	/* Without random numbers an older conversation might be taken for this one, no more. */
	(void)!getrandom(number, EXEC_NUMBER, 0);
	for (unsigned i = 0; i < EXEC_NUMBER; i++)
		number[i] &= 0x7f;
	number[0] |= 1;
	p->greeted = true;
	p->matched = 0;
	buf_free(&p->unsent);
	p->unsent_at = 0;
	to_port(p, NULL, EXEC_PADDING);
	to_port(p, p->greeting, EXEC_GREETING);
	port_pump(p);
}

static void on_port_room(void *opaque)
{
	struct exec_port *p = opaque;

	port_pump(p);
	if (p->state == PORT_UP)
		p->transport.room(p->transport.opaque);
}

/* --- from the guest --- */

static void port_is_up(struct exec_port *p)
{
	if (p->state == PORT_STARTING)
		files_of(p)->ops->end(files_of(p));
	p->state = PORT_UP;
	p->deaf = false;
	timer_set(&p->timer, PING_MS);
	send_kept(p);
	p->transport.room(p->transport.opaque);
}

static void on_port_output(void *opaque, const uint8_t *data, size_t len)
{
	struct exec_port *p = opaque;
	size_t at = 0;

	if (p->greeted && (p->state == PORT_GREETING || p->state == PORT_STARTING)) {
		while (at < len && p->matched < EXEC_GREETING)
			p->matched = exec_match(p->greeting, p->matched, data[at++]);
		if (p->matched == EXEC_GREETING)
			port_is_up(p);
	}
	if (p->state == PORT_UP && at < len)
		p->transport.received(p->transport.opaque, data + at, len - at);
}

static void on_port_opened(void *opaque, bool open)
{
	struct exec_port *p = opaque;

	p->greeted &= open;
	p->deaf = false;
	if (open && (p->state == PORT_GREETING || p->state == PORT_STARTING))
		greet(p);
	else if (!open && p->state == PORT_UP)
		port_failed(p, "torpor's helper in the guest has ended");
	else if (!open && p->state == PORT_GREETING)
		start_helper(p);
}

/* --- the files' transport --- */

static void on_files_received(void *opaque, const uint8_t *data, size_t len)
{
	struct exec_port *p = opaque;

	if (p->state == PORT_STARTING) {
		p->state = PORT_FILES;
		buf_free(&p->unsent);
		p->unsent_at = 0;
		send_kept(p);
	}
	if (p->state == PORT_FILES)
		p->transport.received(p->transport.opaque, data, len);
}

static void on_files_room(void *opaque)
{
	struct exec_port *p = opaque;

	if (p->state == PORT_FILES)
		p->transport.room(p->transport.opaque);
}

static void on_files_failed(void *opaque, const struct err *why)
{
	struct exec_port *p = opaque;

	if (p->state != PORT_STARTING && p->state != PORT_FILES)
		return;
	forget_all(p);
	p->transport.failed(p->transport.opaque, why);
}

/* --- the order --- */

static void start_helper(struct exec_port *p)
{
	p->state = PORT_STARTING;
	timer_set(&p->timer, 0);
	files_of(p)->ops->begin(files_of(p));
}

static void note_deaf(struct exec_port *p)
{
	p->deaf = true;
	log_guest(p->log, &p->log_limit,
		  "a program in the guest that is not torpor's helper has the port %s open: "
		  "until it closes that, exec and cp go through the guest agent, slowly",
		  p->files->port_name);
}

static void on_port_timer(void *opaque)
{
	struct exec_port *p = opaque;
	uint8_t ping[EXEC_HEADER];

	if (p->no_memory) {
		if (p->state == PORT_STARTING || p->state == PORT_FILES)
			files_of(p)->ops->end(files_of(p));
		port_failed(p, "out of memory");
	} else if (p->state == PORT_GREETING && !p->files->agent->going) {
		timer_set(&p->timer, GREETING_MS); /* the machine is paused */
	} else if (p->state == PORT_GREETING) {
		note_deaf(p);
		start_helper(p);
	} else if (p->state == PORT_UP) {
		timer_set(&p->timer, PING_MS);
		exec_header(ping, 0, EXEC_PING, 0);
		if (p->pinged && p->unsent.len == 0)
			port_send(&p->transport, ping, sizeof(ping));
		p->pinged = true;
	}
}

static void port_begin(struct transport *t)
{
	struct exec_port *p = port_from_transport(t);

	forget_all(p);
	p->pinged = false;
	if (!p->port->is_open(p->port)) {
		start_helper(p);
		return;
	}
	p->state = PORT_GREETING;
	timer_set(&p->timer, GREETING_MS);
	greet(p);
	/* It may answer all the same, while the other one starts. */
	if (p->deaf && p->state == PORT_GREETING)
		start_helper(p);
}

static void port_end(struct transport *t)
{
	struct exec_port *p = port_from_transport(t);

	if (p->state == PORT_STARTING || p->state == PORT_FILES)
		files_of(p)->ops->end(files_of(p));
	/* What was sent before still arrives, as far as the guest has room for it. */
	forget_all(p);
}

static const struct transport_ops exec_port_ops = {
	.begin = port_begin,
	.send = port_send,
	.end = port_end,
	.unsent = port_unsent,
};

void exec_port_init(struct exec_port *p, struct chardev *port, const char *name,
		    struct agent_files *files, const struct log *log)
{
	struct transport *t = &files->transport;

	static_assert(sizeof(EXEC_MAGIC) == EXEC_MAGIC_SIZE + 1, "as it is sent");
	*p = (struct exec_port){.transport.ops = &exec_port_ops,
				.port = port,
				.files = files,
				.log = log,
				.timer = TIMER_CLOSED};
	port->output = on_port_output;
	port->room = on_port_room;
	port->opened = on_port_opened;
	port->opaque = p;
	t->received = on_files_received;
	t->room = on_files_room;
	t->failed = on_files_failed;
	t->opaque = p;
	files->port_name = name;
}

int exec_port_open(struct exec_port *p, struct loop *loop, struct err *err)
{
	return timer_open(&p->timer, loop, on_port_timer, p, err);
}

void exec_port_close(struct exec_port *p)
{
	if (p->port == NULL)
		return;
	timer_close(&p->timer);
	forget_all(p);
}
