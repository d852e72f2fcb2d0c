/*
 * virtio-console (virtio 1.2 §5.3). Port 0 is a console (hvc0 to Linux); the others are named
 * channels. Without MULTIPORT there is only port 0.
 *
 * The device's messages about a port are kept as bits until the driver has buffers for them, so
 * that the backlog is bounded and is saved with the rest. Input that finds no buffer is refused;
 * the host side keeps it and is called back through room(). A chain of output that is longer than a
 * turn, which no known driver makes, is put out again from its beginning when the machine is
 * stopped in the middle of it. Machine lock held.
 *
 * VIRTIO_CONSOLE_F_SIZE is not offered: Linux and the specification disagree on the order of the
 * fields in the resize message (§5.3.6.2), so that a guest would get its columns for its rows.
 */
#include "devices/virtio/console.h"

#include <errno.h>
#include <linux/virtio_console.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/num.h"

enum {
	QUEUE_CONTROL_RX = 2, /* device to driver */
	QUEUE_CONTROL_TX = 3,
};

/* Bits of console_port_state.pending, in the order they are sent. */
enum {
	TELL_ADD = 1,
	TELL_CONSOLE = 2,
	TELL_NAME = 4,
	TELL_OPEN = 8,
	TELL_ALL = 15,
};

struct console_port_state {
	uint8_t name[CONSOLE_NAME_MAX];
	uint32_t pending;
	uint8_t guest_open;
	uint8_t pad[3];
};

struct console_state {
	uint32_t nports;
	struct console_port_state port[CONSOLE_MAX_PORTS];
};

struct virtio_console;

struct port {
	struct chardev chardev;
	struct virtio_console *console;
	unsigned index;
};

struct virtio_console {
	struct virtio_device v;
	struct console_state s;
	struct port port[CONSOLE_MAX_PORTS];
	struct virtio_inflight tx[CONSOLE_MAX_PORTS];
	struct virtio_console_config config;
};

static const struct state_field port_fields[] = {
	STATE_ARRAY(struct console_port_state, name, 1, 1, STATE_EQUAL),
	STATE_SCALAR(struct console_port_state, pending, 2, 1, STATE_HEX),
	STATE_SCALAR(struct console_port_state, guest_open, 3, 1, 0),
	STATE_PAD(struct console_port_state, pad),
};

static const struct state_table port_table =
	STATE_TABLE("virtio-console-port", 1, struct console_port_state, port_fields);

static const struct state_field console_fields[] = {
	STATE_SCALAR(struct console_state, nports, 1, 1, STATE_EQUAL),
	STATE_VSTRUCT(struct console_state, port, nports, 2, 1, &port_table),
};

const struct state_table virtio_console_table =
	STATE_TABLE("virtio-console", 1, struct console_state, console_fields);

static struct virtio_console *console_from_virtio(struct virtio_device *v)
{
	return container_of(v, struct virtio_console, v);
}

/* §5.3.2: the control queues lie between port 0 and port 1. */
static unsigned rx_queue(unsigned port)
{
	return port == 0 ? 0 : 2 * port + 2;
}

static unsigned tx_queue(unsigned port)
{
	return rx_queue(port) + 1;
}

static bool multiport(const struct virtio_console *con)
{
	return virtio_has(&con->v, VIRTIO_FEATURE(VIRTIO_CONSOLE_F_MULTIPORT));
}

static bool port_accepts(const struct port *port)
{
	const struct virtio_console *con = port->console;

	return multiport(con) ? con->s.port[port->index].guest_open != 0 : port->index == 0;
}

static size_t port_input(struct chardev *c, const uint8_t *data, size_t len)
{
	struct port *port = container_of(c, struct port, chardev);
	struct virtio_device *v = &port->console->v;
	unsigned queue = rx_queue(port->index);
	struct vq_elem e;
	size_t done = 0;

	/* A driver that goes on giving buffers of no bytes must not keep us here. */
	for (unsigned n = 0; n < VQ_MAX_SIZE && done < len; n++) {
		size_t part;

		if (!port_accepts(port) || !virtio_pop(v, queue, &e))
			break;
		part = vq_write(&e, data + done, len - done);
		virtio_push(v, queue, &e, part);
		done += part;
	}
	if (done > 0)
		virtio_interrupt(v, queue);
	return done;
}

static bool port_is_open(const struct chardev *c)
{
	return port_accepts(container_of(c, const struct port, chardev));
}

static void port_set_open(struct port *port, bool open)
{
	uint8_t *guest_open = &port->console->s.port[port->index].guest_open;

	if (*guest_open == open)
		return;
	*guest_open = open;
	if (port->chardev.opened != NULL)
		port->chardev.opened(port->chardev.opaque, open);
}

static void port_room(const struct port *port)
{
	if (port->chardev.room != NULL && port_accepts(port))
		port->chardev.room(port->chardev.opaque);
}

static void port_output(const struct port *port, const uint8_t *data, size_t len)
{
	if (port->chardev.output != NULL && len > 0)
		port->chardev.output(port->chardev.opaque, data, len);
}

static void console_serve_tx(struct virtio_console *con, unsigned index)
{
	struct vq_elem *e = &con->tx[index].elem;
	uint64_t budget = VIRTIO_TURN_BYTES;
	unsigned queue = tx_queue(index);
	bool fresh;

	while (budget > 0 && virtio_next(&con->v, queue, &fresh)) {
		const uint8_t *data;
		uint64_t done = 0;
		size_t part;

		while (done < budget && (data = vq_take_out(e, budget - done, &part)) != NULL) {
			port_output(&con->port[index], data, part);
			done += part;
		}
		virtio_spend(&budget, done);
		if (e->out_len == 0)
			virtio_complete(&con->v, queue, 0);
	}
	virtio_interrupt(&con->v, queue);
	if (budget == 0)
		virtio_reschedule(&con->v, queue);
}

static void queue_control(struct virtio_console *con, unsigned port, uint32_t what)
{
	con->s.port[port].pending |= what;
}

/* Write one message into a buffer of the driver. */
static bool send_control(struct virtio_console *con, unsigned port, uint32_t what)
{
	static const uint16_t events[] = {
		[TELL_ADD] = VIRTIO_CONSOLE_PORT_ADD,
		[TELL_CONSOLE] = VIRTIO_CONSOLE_CONSOLE_PORT,
		[TELL_NAME] = VIRTIO_CONSOLE_PORT_NAME,
		[TELL_OPEN] = VIRTIO_CONSOLE_PORT_OPEN,
	};
	struct virtio_console_control message = {
		.id = htole32(port),
		.event = htole16(events[what]),
		.value = htole16(1),
	};
	const char *name = (const char *)con->s.port[port].name;
	size_t extra = what == TELL_NAME ? strlen(name) : 0, sent;
	struct vq_elem e;

	if (!virtio_pop(&con->v, QUEUE_CONTROL_RX, &e))
		return false;
	sent = vq_write(&e, &message, sizeof(message));
	sent += vq_write(&e, name, extra);
	virtio_push(&con->v, QUEUE_CONTROL_RX, &e, sent);
	if (sent < sizeof(message) + extra)
		virtio_needs_reset(&con->v, "control buffer too small");
	return true;
}

static void send_pending_control(struct virtio_console *con)
{
	bool sent = multiport(con);

	for (unsigned i = 0; sent && i < con->s.nports; i++) {
		uint32_t *pending = &con->s.port[i].pending;

		while (sent && *pending != 0) {
			uint32_t what = *pending & -*pending;

			sent = send_control(con, i, what);
			if (sent)
				*pending &= ~what;
		}
	}
	virtio_interrupt(&con->v, QUEUE_CONTROL_RX);
}

/* §5.3.6.2: the driver is ready for a port: announce it. The host's side is always there. */
static void port_ready(struct virtio_console *con, unsigned port)
{
	if (port == 0)
		queue_control(con, port, TELL_CONSOLE | TELL_OPEN);
	else
		queue_control(con, port, TELL_NAME | TELL_OPEN);
}

static void handle_control(struct virtio_console *con, const struct virtio_console_control *c)
{
	uint32_t port = le32toh(c->id);
	uint16_t event = le16toh(c->event), value = le16toh(c->value);

	if (event == VIRTIO_CONSOLE_DEVICE_READY) {
		for (unsigned i = 0; value == 1 && i < con->s.nports; i++)
			queue_control(con, i, TELL_ADD);
		return;
	}
	if (port >= con->s.nports) {
		log_guest(&con->v.m->log, &con->v.limit, "%s: message about port %u, which is not",
			  con->v.dev.id, port);
		return;
	}
	if (event == VIRTIO_CONSOLE_PORT_READY && value == 1)
		port_ready(con, port);
	if (event == VIRTIO_CONSOLE_PORT_OPEN) {
		port_set_open(&con->port[port], value == 1);
		port_room(&con->port[port]);
	}
}

static void console_serve_control(struct virtio_console *con)
{
	struct virtio_console_control message;
	unsigned budget = VQ_MAX_SIZE;
	struct vq_elem e;

	for (; budget > 0 && virtio_pop(&con->v, QUEUE_CONTROL_TX, &e); budget--) {
		if (vq_read(&e, &message, sizeof(message)) == sizeof(message))
			handle_control(con, &message);
		virtio_push(&con->v, QUEUE_CONTROL_TX, &e, 0);
	}
	virtio_interrupt(&con->v, QUEUE_CONTROL_TX);
	if (budget == 0)
		virtio_reschedule(&con->v, QUEUE_CONTROL_TX);
	send_pending_control(con);
}

static void console_notify(struct virtio_device *v, unsigned index)
{
	struct virtio_console *con = console_from_virtio(v);
	unsigned port = index < QUEUE_CONTROL_RX ? 0 : index / 2 - 1;

	if (index == QUEUE_CONTROL_RX)
		send_pending_control(con);
	else if (index == QUEUE_CONTROL_TX)
		console_serve_control(con);
	else if (index == tx_queue(port))
		console_serve_tx(con, port);
	else
		port_room(&con->port[port]);
}

static void console_reset(struct virtio_device *v)
{
	struct virtio_console *con = console_from_virtio(v);

	for (unsigned i = 0; i < con->s.nports; i++) {
		con->s.port[i].pending = 0;
		port_set_open(&con->port[i], false);
	}
}

/* §5.3.4: emerg_wr, one character for port 0, at any time. */
static void console_config_write(struct virtio_device *v, uint64_t off, uint32_t value,
				 unsigned size)
{
	uint8_t c = (uint8_t)value;

	(void)size;
	if (off == offsetof(struct virtio_console_config, emerg_wr))
		port_output(&console_from_virtio(v)->port[0], &c, 1);
}

static int console_check(struct virtio_device *v, const void *staged, struct err *err)
{
	const struct console_state *s = staged;

	(void)v;
	for (unsigned i = 0; i < s->nports; i++) {
		if ((s->port[i].pending & ~(uint32_t)TELL_ALL) != 0 || s->port[i].guest_open > 1)
			return err_set(err, ERR_INTEGRITY, "port %u: impossible state", i);
	}
	return 0;
}

static void console_free(struct virtio_device *v)
{
	free(console_from_virtio(v));
}

static const struct virtio_type console_type = {
	.id = VIRTIO_TYPE_CONSOLE,
	.table = &virtio_console_table,
	.notify = console_notify,
	.reset = console_reset,
	.config_write = console_config_write,
	.check = console_check,
	.free = console_free,
};

static void console_add_port(struct virtio_console *con, const char *name)
{
	unsigned index = con->s.nports++;
	size_t len = strlen(name);

	assert(index < CONSOLE_MAX_PORTS && len < CONSOLE_NAME_MAX);
	memcpy(con->s.port[index].name, name, len);
	con->port[index] = (struct port){
		.chardev.input = port_input,
		.chardev.is_open = port_is_open,
		.console = con,
		.index = index,
	};
}

int virtio_console_create(struct virtio_device **out, struct machine *m, const char *id,
			  const struct virtio_backend *backend, struct err *err)
{
	struct virtio_console *con = calloc(1, sizeof(*con));

	if (con == NULL)
		return err_sys(err, ENOMEM, "%s", id);
	console_add_port(con, "");
	for (unsigned i = 0; i < backend->nports; i++)
		console_add_port(con, backend->ports[i]);
	con->config.max_nr_ports = htole32(con->s.nports);
	con->v.config = &con->config;
	con->v.config_len = sizeof(con->config);
	virtio_init(&con->v, m, id, &console_type,
		    VIRTIO_FEATURE(VIRTIO_CONSOLE_F_MULTIPORT) |
			    VIRTIO_FEATURE(VIRTIO_CONSOLE_F_EMERG_WRITE),
		    2 * con->s.nports + 2, &con->s);
	for (unsigned i = 0; i < con->s.nports; i++)
		con->v.inflight[tx_queue(i)] = &con->tx[i];
	*out = &con->v;
	return 0;
}

struct chardev *virtio_console_port(struct device *dev, unsigned port)
{
	struct virtio_console *con =
		console_from_virtio(container_of(dev, struct virtio_device, dev));

	assert(port < con->s.nports);
	return &con->port[port].chardev;
}
