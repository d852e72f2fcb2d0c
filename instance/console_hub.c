/* See console_hub.h. */
#include "instance/console_hub.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/num.h"
#include "instance/escape.h"
#include "instance/outlet.h"

#define DRAIN_MS 1000

enum port_input {
	INPUT_CLOSED, /* at its end */
	INPUT_POLLED,
	INPUT_ALWAYS, /* a plain file: epoll does not take it, and it is always ready */
};

struct console_port {
	struct console_hub *hub;
	struct console_port *next;
	int in_fd;
	bool is_socket; /* in_fd and out.fd are ours to close */
	bool escapes;
	enum port_input input;
	enum escape_state escape;
	struct loop_watch watch; /* of in_fd, while the hub takes input */
	struct outlet out;
	int out_fd;
};

static void hub_output(void *opaque, const uint8_t *data, size_t len)
{
	struct console_hub *hub = opaque;

	console_log_write(&hub->log, data, len);
	if (hub->heard != NULL)
		hub->heard(hub->heard_opaque, data, len);
	for (struct console_port *port = hub->ports; port != NULL; port = port->next)
		outlet_write(&port->out, data, len);
}

static void port_free(struct console_port *port)
{
	struct console_port **link = &port->hub->ports;

	while (*link != port)
		link = &(*link)->next;
	*link = port->next;
	loop_del(&port->hub->machine->loop, &port->watch);
	outlet_free(&port->out);
	if (port->is_socket) {
		close(port->in_fd);
		close(port->out_fd);
	}
	free(port);
}

static bool hub_is_pending(const struct console_hub *hub)
{
	return hub->len > 0 || hub->break_due;
}

/* Several that are due at once are one. */
static void hub_add_break(struct console_hub *hub)
{
	if (hub->break_due || hub->keyboard->send_break == NULL)
		return;
	hub->break_due = true;
	hub->before_break = hub->len;
}

/* Keep what was typed, without escapes, as pending input. Nothing is pending. */
static void port_typed(struct console_port *port, const uint8_t *data, size_t len)
{
	static const uint8_t help[] = ESCAPE_LIST("ends the machine");
	struct console_hub *hub = port->hub;

	hub->start = 0;
	if (!port->escapes) {
		memcpy(hub->pending, data, len);
		hub->len = len;
		return;
	}
	for (size_t at = 0, used; at < len; at += used) {
		enum escape_action action;

		hub->len += escape_filter(&port->escape, data + at, len - at,
					  hub->pending + hub->len, &used, &action);
		if (action == ESCAPE_HELP)
			outlet_write(&port->out, help, sizeof(help) - 1);
		if (action == ESCAPE_BREAK)
			hub_add_break(hub);
		if (action == ESCAPE_LEAVE) {
			machine_end(hub->machine, MACHINE_END_KILLED);
			return;
		}
	}
}

/* Read once; nothing is pending. */
static void port_read(struct console_port *port)
{
	uint8_t data[HUB_READ];
	ssize_t got = read(port->in_fd, data, sizeof(data));

	if (got > 0)
		port_typed(port, data, (size_t)got);
	else if (got == 0 || (errno != EAGAIN && errno != EINTR))
		port->input = INPUT_CLOSED;
}

static void on_port_input(struct loop_watch *watch, uint32_t events);

/* A client that has only closed its sending side still reads: its hang-up is awaited. */
static void port_watch(struct console_port *port)
{
	uint32_t events = port->input == INPUT_POLLED ? EPOLLIN : 0;

	if (port->input == INPUT_ALWAYS || port->watch.fd >= 0 || (events == 0 && !port->is_socket))
		return;
	if (loop_add(&port->hub->machine->loop, &port->watch, port->in_fd, events, on_port_input,
		     NULL) == -EPERM)
		port->input = INPUT_ALWAYS;
}

static bool read_plain_files(struct console_hub *hub)
{
	for (struct console_port *port = hub->ports; port != NULL && !hub_is_pending(hub);
	     port = port->next) {
		if (port->input == INPUT_ALWAYS)
			port_read(port);
	}
	return hub_is_pending(hub);
}

static void mute_all(struct console_hub *hub)
{
	for (struct console_port *port = hub->ports; port != NULL; port = port->next)
		loop_del(&hub->machine->loop, &port->watch);
}

static void unmute_all(struct console_hub *hub)
{
	for (struct console_port *port = hub->ports; port != NULL; port = port->next)
		port_watch(port);
}

/* Offer bytes of what is pending. False: not all were taken. */
static bool hub_offer_bytes(struct console_hub *hub, size_t len)
{
	size_t taken =
		len > 0 ? hub->keyboard->input(hub->keyboard, hub->pending + hub->start, len) : 0;

	hub->start += taken;
	hub->len -= taken;
	if (hub->break_due)
		hub->before_break -= taken;
	return taken == len;
}

/* Offer what is pending, a break in its place. False: not all was taken. */
static bool hub_offer(struct console_hub *hub)
{
	if (hub->break_due) {
		if (!hub_offer_bytes(hub, hub->before_break) ||
		    !hub->keyboard->send_break(hub->keyboard))
			return false;
		hub->break_due = false;
	}
	return hub_offer_bytes(hub, hub->len);
}

/* Read on only when all that is pending was taken. */
static void hub_pump(struct console_hub *hub)
{
	do {
		if (!hub_offer(hub)) {
			mute_all(hub);
			return;
		}
		unmute_all(hub);
	} while (read_plain_files(hub));
}

static void hub_room(void *opaque)
{
	hub_pump(opaque);
}

static void on_port_input(struct loop_watch *watch, uint32_t events)
{
	struct console_port *port = container_of(watch, struct console_port, watch);
	struct console_hub *hub = port->hub;

	if (hub_is_pending(hub))
		return; /* muted since this event was reported */
	if (port->input == INPUT_POLLED)
		port_read(port);
	else if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
		port_free(port);
		return;
	}
	if (port->input == INPUT_CLOSED)
		loop_del(&hub->machine->loop, &port->watch);
	hub_pump(hub);
}

void hub_init(struct console_hub *hub, struct machine *m, const struct board *board,
	      enum appliance_console keyboard, const char *name, bool fresh_log)
{
	struct chardev *devices[] = {board->serial, board->console};

	*hub = (struct console_hub){
		.machine = m,
		.keyboard = keyboard == CONSOLE_HVC ? board->console : board->serial,
	};
	console_log_init(&hub->log, name, fresh_log);
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
		devices[i]->output = hub_output;
		devices[i]->opaque = hub;
	}
	hub->keyboard->room = hub_room;
}

static struct console_port *port_new(struct console_hub *hub, int in_fd, int out_fd)
{
	struct console_port *port = calloc(1, sizeof(*port));

	if (port == NULL)
		return NULL;
	port->hub = hub;
	port->in_fd = in_fd;
	port->out_fd = out_fd;
	port->input = INPUT_POLLED;
	port->watch.fd = -1;
	outlet_init(&port->out, &hub->machine->loop, out_fd);
	port->next = hub->ports;
	hub->ports = port;
	return port;
}

int hub_attach_terminal(struct console_hub *hub, bool raw, struct err *err)
{
	struct console_port *port = port_new(hub, STDIN_FILENO, STDOUT_FILENO);

	if (port == NULL)
		return err_sys(err, ENOMEM, "attach the terminal");
	port->escapes = raw;
	return 0;
}

void hub_start_input(struct console_hub *hub)
{
	hub_pump(hub);
}

int hub_attach_socket(struct console_hub *hub, int fd, const uint8_t *typed, size_t len,
		      struct err *err)
{
	/* A descriptor for each direction, since each has a watch of its own. */
	int out_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	struct console_port *port = out_fd >= 0 ? port_new(hub, fd, out_fd) : NULL;

	if (port == NULL) {
		int ret = err_sys(err, out_fd < 0 ? errno : ENOMEM, "attach a console client");

		if (out_fd >= 0)
			close(out_fd);
		close(fd);
		return ret;
	}
	port->is_socket = true;
	/* While others' input is pending, what came along is dropped, as by a full keyboard
	 * buffer. */
	if (!hub_is_pending(hub) && len > 0)
		port_typed(port, typed, u64_min(len, HUB_READ));
	hub_pump(hub);
	return 0;
}

int hub_send_break(struct console_hub *hub, struct err *err)
{
	if (hub->keyboard->send_break == NULL) {
		err_set(err, ERR_FAILED, "the guest's console is hvc0, which has no breaks");
		return -EOPNOTSUPP;
	}
	hub_add_break(hub);
	hub_pump(hub);
	return 0;
}

void hub_forget_input(struct console_hub *hub)
{
	hub->start = hub->len = 0;
	hub->break_due = false;
	unmute_all(hub);
}

void hub_finish(struct console_hub *hub)
{
	while (hub->ports != NULL) {
		outlet_drain(&hub->ports->out, DRAIN_MS);
		port_free(hub->ports);
	}
	console_log_close(&hub->log);
}
